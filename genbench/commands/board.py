"""`genbench.board`: a static site over many runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from genbench.report.board.checks import read_checks
from genbench.report.board.site import Board, build_board


def board(
    *runs: str | Path | Iterable[str | Path],
    out: str | Path,
    title: str = "genbench board",
    checks: str | Path | None = None,
) -> Board:
    """Write a static site over many runs, or bring one up to date, and return what was read and written.

    The site needs no server and no network. A later call reads only the runs that have changed and writes only the
    pages that do. Runs and files that are damaged are shown as damaged. Raises `UsageError` for a path without a run,
    and for a folder that holds something else or cannot be written.

    Args:
        runs: run directories, archives, and folders that hold them.
        out: the folder of the site.
        title: of the site.
        checks: the file with the outcomes of ``genbench board --check``.
    """
    given = [path for one in runs for path in ([one] if isinstance(one, str | Path) else one)]
    known = read_checks(Path(checks).expanduser()) if checks is not None else None
    return build_board(given, out, title, known)
