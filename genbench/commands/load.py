"""`genbench.load`: reading run directories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from genbench.commands.results import Results
from genbench.errors import UsageError
from genbench.results.store import LoadedRun, RunDirectory, named_apart


def load(*paths: str | Path | Iterable[str | Path]) -> Results:
    """Return the results of one or more run directories; nothing is imported but what reads JSON.

    Cells that have not run, and files that are damaged, are part of the results and say so. Raises `UsageError` for a
    path that is not a run directory, with the runs nearby.

    Args:
        paths: run directories, one by one or as a list.
    """
    given = [path for one in paths for path in ([one] if isinstance(one, str | Path) else one)]
    if not given:
        raise UsageError("No run directory is given.", 'Write genbench.load("results/first").', code="GB705")
    directories = [RunDirectory.open(path) for path in given]
    contents = named_apart(directories, [directory.read() for directory in directories])
    return Results([LoadedRun(*run) for run in zip(directories, contents, strict=True)])
