"""MLflow: one run per cell, in a folder or any other store that MLflow supports."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from genbench import CellFacts, CellFinished, CellStarted, Evaluated, RunFacts, RunFinished, WindowFinished
from genbench_trackers import MLflowOptions
from genbench_trackers.scalars import evaluation_scalars, import_library, plain_values, result_scalars, window_scalars

LONGEST_PARAMETER = 500  # characters; accepted by every store


class MLflowRuns:
    """The reporter."""

    def __init__(self, mlflow: Any, client: Any, experiment: str, run: RunFacts) -> None:
        self._mlflow, self._client, self._run = mlflow, client, run
        found = client.get_experiment_by_name(experiment)
        self._experiment = found.experiment_id if found is not None else client.create_experiment(experiment)
        self._open: str | None = None  # id of the current run
        self._images = 0

    def cell_started(self, event: CellStarted) -> None:
        """Start a run with the hyperparameters, or continue the existing run of the same cell."""
        self._images = 0
        self._open = self._find(event.cell)
        if self._open is not None:
            self._client.update_run(self._open, status="RUNNING")
            return
        tags = {"mlflow.runName": event.cell.label, **self._names(event.cell)}
        self._open = self._client.create_run(self._experiment, tags=tags).info.run_id
        entities = self._mlflow.entities
        settings = plain_values(event.cell.settings).items()
        parameters = [entities.Param(_key(name), str(value)[:LONGEST_PARAMETER]) for name, value in settings]
        for begin in range(0, len(parameters), 100):  # the most that a store accepts at once
            self._client.log_batch(self._open, params=parameters[begin : begin + 100])

    def window_finished(self, event: WindowFinished) -> None:
        """Write the curves."""
        self._images = event.images
        self._log(window_scalars(event), event.images)

    def evaluated(self, event: Evaluated) -> None:
        """Write the metrics."""
        self._log(evaluation_scalars(event), event.images)

    def cell_finished(self, event: CellFinished) -> None:
        """Write the sample grids and the outcome of the cell, and end the run."""
        self._log(result_scalars(event), self._images)
        if self._open is not None:
            for path in event.pictures.values():
                self._client.log_artifact(self._open, str(path), "pictures")
            self._client.set_tag(self._open, "genbench.status", event.status)
            if event.reason:
                self._client.set_tag(self._open, "genbench.reason", event.reason)
            self._client.set_terminated(self._open, "FINISHED" if event.status == "ok" else "FAILED")
        self._open = None

    def run_finished(self, event: RunFinished) -> None:
        """End the run of an interrupted cell."""
        if self._open is not None:
            self._client.set_terminated(self._open, "KILLED")

    def _log(self, values: dict[str, float], step: int) -> None:
        now = int(1000 * time.time())
        metrics = [self._mlflow.entities.Metric(_key(name), value, now, step) for name, value in values.items()]
        if self._open is not None and metrics:
            self._client.log_batch(self._open, metrics=metrics)

    def _names(self, cell: CellFacts) -> dict[str, str]:
        return {"genbench.run": f"{self._run.name} {self._run.created}", "genbench.cell": cell.id}

    def _find(self, cell: CellFacts) -> str | None:
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in self._names(cell).items())
        found = self._client.search_runs([self._experiment], wanted, max_results=1)
        return found[0].info.run_id if found else None


def create(run: RunFacts, options: MLflowOptions) -> MLflowRuns:
    """Return the reporter; raise `ReporterUnavailable` if the library is missing."""
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # otherwise later versions reject folders
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = import_library("mlflow", "mlflow")
    uri = options.uri or (run.path / "mlruns").as_uri()
    if "://" not in uri and not uri.startswith(("file:", "databricks")):
        uri = Path(uri).expanduser().resolve().as_uri()
    return MLflowRuns(
        mlflow, import_library("mlflow.tracking", "mlflow").MlflowClient(tracking_uri=uri), options.experiment, run
    )


def _key(name: str) -> str:
    """Return the name with characters that MLflow does not allow replaced by underscores."""
    return re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)
