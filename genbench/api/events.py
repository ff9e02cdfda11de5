"""What reporters receive: the run, its cells, and one small record per event.

A reporter is any object with some of the methods in `EVENTS`; each is called with the record of that name, so adding a
field later breaks no plugin. All of it is plain data: a reporter does not need torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.api.evaluation import Estimate
from genbench.api.options import named_options


class ReporterUnavailable(Exception):
    """A reporter lacks something it needs, such as its library; the message says how to get it."""


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """One cell of the plan."""

    id: str
    label: str  # for display: 'gan · non-saturating · fashion-mnist-mini · seed 0'
    variant: str  # the plan's name for its recipe; may be empty
    identity: Mapping[str, Any]  # what was requested, as in ``cells/<id>.json``

    @property
    def settings(self) -> dict[str, Any]:
        """The hyperparameters under flat names: ``model``, ``seed``, ``batch_size``, ``gan.width`` …"""
        found: dict[str, Any] = {kind: self.identity[kind]["name"] for kind in ("model", "loss", "dataset")}
        found["seed"], found["device"] = self.identity["seed"], self.identity["device"]
        found["image_shape"] = "×".join(map(str, self.identity["image_shape"]))
        found["latent_dim"] = self.identity["latent_dim"]
        if self.variant:
            found["variant"] = self.variant
        found |= self.identity["recipe"]
        chosen = [(kind, self.identity[kind]) for kind in ("dataset", "loss", "model")]
        return found | named_options((kind, choice["name"], choice["options"]) for kind, choice in chosen)


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The run that a reporter is created for."""

    path: Path  # the run directory, absolute
    name: str  # its last part
    created: str  # UTC, ISO 8601
    profile: str
    command: tuple[str, ...]  # the command line
    environment: Mapping[str, Any]  # the machine
    cells: tuple[CellFacts, ...]  # the requested cells that are possible


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """Cells are about to be executed; in a race, those until the next look."""

    pending: tuple[str, ...]  # their ids; in a resumed run, those without a result: only they are reported


@dataclass(frozen=True, kw_only=True)
class CellStarted:
    """A cell starts, or resumes from its checkpoint: then its last windows may be reported a second time."""

    cell: CellFacts
    index: int  # among the cells executed now, from 1
    total: int
    steps: int  # in its budget, as planned


@dataclass(frozen=True, kw_only=True)
class WindowFinished:
    """A window has been trained."""

    cell: CellFacts
    step: int
    images: int  # real images consumed so far
    images_per_second: float  # of this window
    terms: Mapping[str, float]  # means of the loss terms and other curves; only finite values
    warmup: bool  # not counted in the throughput


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The metrics were measured: during training if the recipe says so, and at its end."""

    cell: CellFacts
    step: int
    images: int
    estimates: tuple[Estimate, ...]  # the finite ones


@dataclass(frozen=True, kw_only=True)
class CellFinished:
    """A cell has a result, and all its files are written."""

    cell: CellFacts
    status: str  # 'ok', 'failed', 'diverged' …
    reason: str  # why the status is not 'ok'
    result: Mapping[str, Any]  # the content of ``cells/<id>.json``
    pictures: Mapping[str, Path] = field(default_factory=dict)  # 'samples', 'reconstructions': those that exist


@dataclass(frozen=True, kw_only=True)
class RunFinished:
    """The last event; the reporter has half a minute to write what it has buffered."""

    interrupted: bool  # some cells were not executed; `--resume` continues with them


EVENTS: dict[str, type] = {
    "run_started": RunStarted,
    "cell_started": CellStarted,
    "window_finished": WindowFinished,
    "evaluated": Evaluated,
    "cell_finished": CellFinished,
    "run_finished": RunFinished,
}
