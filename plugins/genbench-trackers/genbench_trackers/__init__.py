"""Reporters for TensorBoard, MLflow and Weights & Biases; none of these libraries is imported until a run names it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench


@dataclass(frozen=True)
class TensorBoardOptions:
    """Where event files are written."""

    dir: str = genbench.option("", "folder in which each run gets its own folder; empty: RUN/tensorboard")


@dataclass(frozen=True)
class MLflowOptions:
    """Which store to write to."""

    uri: str = genbench.option("", "tracking URI, such as a folder or a server; empty: the folder RUN/mlruns")
    experiment: str = genbench.option("genbench", "experiment in which each cell is a run")


@dataclass(frozen=True)
class WandbOptions:
    """Where runs are written; offline by default."""

    dir: str = genbench.option("", "folder in which wandb creates its folder 'wandb'; empty: RUN")
    project: str = genbench.option("genbench", "project in which each cell is a run")
    mode: Literal["offline", "online"] = genbench.option("offline", "online: send everything to the server immediately")


@genbench.hookimpl
def genbench_reporters() -> Iterable[genbench.ReporterSpec]:
    """Yield the three reporters."""
    yield genbench.ReporterSpec(
        name="tensorboard",
        summary="event files for TensorBoard",
        create="genbench_trackers.event_files:create",
        options=TensorBoardOptions,
    )
    yield genbench.ReporterSpec(
        name="mlflow",
        summary="runs in an MLflow store, by default a folder",
        create="genbench_trackers.mlflow_runs:create",
        options=MLflowOptions,
    )
    yield genbench.ReporterSpec(
        name="wandb",
        summary="Weights & Biases, by default offline",
        create="genbench_trackers.wandb_runs:create",
        options=WandbOptions,
    )
