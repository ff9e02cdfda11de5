"""`genbench.archive`: packing a run into one file for readers."""

from __future__ import annotations

import warnings
from pathlib import Path

from genbench.report.archive import pack
from genbench.results.store import RunDirectory


def archive(run: str | Path, out: str | Path | None = None, *, weights: bool = False, pictures: bool = True) -> Path:
    """Pack what a reader of a run needs into one zip file, and return its path; `load` reads it.

    It holds the plan with the environment, every result, the tables and a model card, each with its SHA-256 in
    ``manifest.json``. The same run gives the same bytes. A file that cannot be packed is left out with a warning.
    Raises `UsageError` if the file exists or cannot be written.

    Args:
        run: the run directory.
        out: the file; by default, beside the run with the suffix ``.zip``.
        weights: also pack the networks, as safetensors.
        pictures: pack samples and other pictures.
    """
    packed = pack(RunDirectory.open_unpacked(run), None if out is None else Path(out).expanduser(), weights, pictures)
    for warning in packed.warnings:
        warnings.warn(warning, stacklevel=2)
    return packed.path
