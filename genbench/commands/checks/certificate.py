"""The figure of a certificate that `genbench metrics certify --json` printed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from genbench.errors import UsageError
from genbench.gate.extractor_certificate import Certificate
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure
from genbench.report.figures.kinds import figure_of_certificate
from genbench.report.figures.options import Options
from genbench.results.files import read_regular_file

_LARGEST = 1e100  # no distance of images is as large


def certificate_figure(
    path: str | Path,
    *,
    log_y: bool | None = None,
    theme: str = "light",
    width: str | float = "two-column",
    height: float | None = None,
) -> Figure:
    """Return the figure of a certificate's ladders, as `genbench figure FILE --kind ladder` makes it.

    Raises `UsageError` if the file is not the JSON output of `genbench metrics certify`. The other arguments are those
    of `Results.figure`.
    """
    look = make_appearance(theme, width, height)
    return figure_of_certificate(read_certificate(Path(path).expanduser()), Options(log_y=log_y), look)


def read_certificate(path: Path) -> Certificate:
    """Return the certificate in a JSON file; raise `UsageError` if there is none."""
    cure = "Make one with `genbench metrics certify EXTRACTOR --json > certificate.json`."
    try:
        found = msgspec.json.decode(read_regular_file(path), type=Certificate)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.", cure, code="GB806") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not a certificate: {error}.", cure, code="GB806") from error
    levels = [rung for ladder in found.ladders for rung in ladder.rungs]
    errors = [found.floor.standard_error or 0.0, *(level.standard_error for level in levels)]
    if not all(0 <= error < _LARGEST for error in errors) or not all(abs(level.value) < _LARGEST for level in levels):
        raise UsageError(
            f"{path} is not a certificate: it has a negative error, or values that no distance has.", cure, code="GB806"
        )
    return found
