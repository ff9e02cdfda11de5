"""Writing the measurements of a run to a baseline file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from genbench.errors import NoDataError
from genbench.gate.from_file import baseline_of, counters_of
from genbench.gate.from_run import measurements_of_run
from genbench.results.baseline import read_baseline, write_baseline
from genbench.results.input_files import path_kind
from genbench.results.store import RunContents


@dataclass(frozen=True)
class BaselineUpdate:
    """What was written to a baseline file; printed, it is what `genbench baseline update` prints."""

    path: Path
    updated: int  # cells
    kept: int  # cells of the file that the run does not have
    left_out: tuple[str, ...]  # cells without measurements, with their status

    def __str__(self) -> str:
        return f"{self.path}: {self.updated} cells updated" + (f", {self.kept} kept" if self.kept else "")


def update_baseline(run: RunContents, shown: str, path: str | Path, only: bool, counters_only: bool) -> BaselineUpdate:
    """Write the measurements of a run, named `shown`, to a baseline file, see `Results.update_baseline`."""
    file = Path(path)
    measurements = measurements_of_run(run)
    new = baseline_of(counters_of(measurements) if counters_only else measurements)
    failed = [f"{name} ({', '.join(entry.failures)})" for name, entry in measurements.entries.items() if entry.failures]
    if not new.cells:
        raise NoDataError(f"No cell of {shown} succeeded, so there is nothing to store.", "\n".join(failed))
    before = read_baseline(file).cells if path_kind(file) != "missing" and not only else {}
    cells = {**before, **new.cells}
    write_baseline(file, msgspec.structs.replace(new, cells=cells))
    return BaselineUpdate(file, len(new.cells), len(cells) - len(new.cells), tuple(failed))
