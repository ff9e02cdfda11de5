"""Weights & Biases: one run per cell, by default in offline files that `wandb sync` uploads later."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from genbench import CellFinished, CellStarted, Evaluated, RunFacts, RunFinished, WindowFinished
from genbench_trackers import WandbOptions
from genbench_trackers.scalars import evaluation_scalars, import_library, result_scalars, window_scalars

QUIET = {  # no machine statistics, no captured output, no copy of the code: nothing that runs during training
    "console": "off",
    "silent": True,
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
}


class WandbRuns:
    """The reporter."""

    def __init__(self, wandb: Any, run: RunFacts, options: WandbOptions) -> None:
        self._wandb, self._run, self._options = wandb, run, options
        self._folder = Path(options.dir).expanduser().resolve() if options.dir else run.path
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open: Any = None
        self._images = 0

    def cell_started(self, event: CellStarted) -> None:
        """Start a run with the hyperparameters; a resumed cell keeps its id."""
        known = self._wandb.Settings.model_fields
        self._images = 0
        self._open = self._wandb.init(
            project=self._options.project,
            mode=self._options.mode,
            dir=str(self._folder),
            id=hashlib.sha256(f"{self._run.name} {self._run.created} {event.cell.id}".encode()).hexdigest()[:12],
            name=event.cell.label,
            group=self._run.name,
            config=event.cell.settings,
            settings=self._wandb.Settings(**{name: value for name, value in QUIET.items() if name in known}),
        )

    def window_finished(self, event: WindowFinished) -> None:
        """Write the curves."""
        self._log(window_scalars(event), event.images)

    def evaluated(self, event: Evaluated) -> None:
        """Write the metrics."""
        self._log(evaluation_scalars(event), event.images)

    def cell_finished(self, event: CellFinished) -> None:
        """Write the sample grids and the outcome of the cell, and end the run."""
        pictures = {name: self._wandb.Image(str(path)) for name, path in event.pictures.items()}
        self._log({**result_scalars(event), **pictures}, self._images)
        if self._open is not None:
            self._open.summary["status"] = event.status
            self._open.finish(exit_code=0 if event.status == "ok" else 1)
        self._open = None

    def run_finished(self, event: RunFinished) -> None:
        """End the run of an interrupted cell, and wait until wandb's own process has written everything."""
        if self._open is not None:
            self._open.finish(exit_code=255)
        self._wandb.teardown()

    def _log(self, values: dict[str, Any], images: int) -> None:
        self._images = images
        if self._open is not None:
            self._open.log(values, step=images)


def create(run: RunFacts, options: WandbOptions) -> WandbRuns:
    """Return the reporter; raise `ReporterUnavailable` if the library is missing."""
    return WandbRuns(import_library("wandb", "wandb"), run, options)
