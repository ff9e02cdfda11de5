"""One cell as it was read from a run directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.options import OptionValue
from genbench.report.run_details import files_of
from genbench.report.table.outcome import CellOutcome
from genbench.results.estimates import find_estimate
from genbench.results.schema import (
    Best,
    CellIdentity,
    CellResult,
    Comparability,
    CurvePoint,
    Durations,
    Energy,
    EvaluationPoint,
    Memory,
    Provenance,
    Throughput,
    Window,
)
from genbench.results.store import RunDirectory

_PICTURES = ("samples", "reconstructions", "closest pairs", "training samples", "interpolation")
_WEIGHTS = ("weights", "best weights")


@dataclass(frozen=True, eq=False)
class Cell:
    """A planned cell and what is stored about it; read-only.

    What was not measured, or belongs to a cell that has not run or is damaged, is empty or None.
    """

    outcome: CellOutcome
    directory: RunDirectory
    _names: Callable[[], Mapping[str, str]]  # of all cells of the run, by id

    def __repr__(self) -> str:
        return f"<Cell {self.name}: {self.status}>"

    @property
    def id(self) -> str:
        """The id, which is the name of its files."""
        return self.outcome.planned.id

    @property
    def name(self) -> str:
        """The name as people see it; different cells of a run have different names."""
        return self._names()[self.id]

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.outcome.run

    @property
    def identity(self) -> CellIdentity:
        """What was asked: everything that determines the numbers of the cell on a given machine."""
        return self.outcome.planned.identity

    @property
    def variant(self) -> str:
        """The plan's name for the recipe, or empty."""
        return self.outcome.planned.variant

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.identity.model.name

    @property
    def loss(self) -> str:
        """The name of the loss."""
        return self.identity.loss.name

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self.identity.dataset.name

    @property
    def seed(self) -> int:
        """The training seed."""
        return self.identity.seed

    @property
    def recipe(self) -> Mapping[str, OptionValue]:
        """Every training setting by name."""
        return MappingProxyType(self.identity.recipe)

    @property
    def settings(self) -> Mapping[str, OptionValue]:
        """Every setting under its name in tables: recipe, options (``dcgan.width``), machine, versions."""
        return MappingProxyType(self.outcome.settings)

    @property
    def result(self) -> CellResult | None:
        """Everything that is stored; None if the cell has not run, or its file is damaged."""
        return self.outcome.result

    @property
    def status(self) -> str:
        """A stored status, such as ``ok`` or ``skipped``, or ``damaged`` or ``not run``."""
        return self.outcome.status

    @property
    def reason(self) -> str:
        """Why the status is not ``ok``."""
        return self.outcome.reason

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The metrics at the end of training."""
        return tuple(self.result.estimates) if self.result else ()

    @property
    def unavailable(self) -> tuple[Unavailable, ...]:
        """The metrics without a value, each with the reason."""
        return tuple(self.result.unavailable) if self.result else ()

    @property
    def evaluations(self) -> tuple[EvaluationPoint, ...]:
        """The metrics during training."""
        return tuple(self.result.evaluations) if self.result else ()

    @property
    def best(self) -> Best | None:
        """The evaluation whose weights were kept, if ``best_metric`` was set."""
        return self.result.best if self.result else None

    @property
    def curves(self) -> tuple[CurvePoint, ...]:
        """The mean of every loss term in each window."""
        return tuple(self.result.curves) if self.result else ()

    @property
    def windows(self) -> tuple[Window, ...]:
        """The timed windows; those of the warm-up say so."""
        return tuple(self.result.windows) if self.result else ()

    @property
    def throughput(self) -> Throughput | None:
        """Real images per second; valid only where ``result.proof.trained``, which tables check."""
        return self.result.throughput if self.result else None

    @property
    def memory(self) -> Memory | None:
        """Peak memory in bytes."""
        return self.result.memory if self.result else None

    @property
    def energy(self) -> Energy | None:
        """Energy of training in joules, or the reason why there is none."""
        return self.result.energy if self.result else None

    @property
    def durations(self) -> Durations | None:
        """Seconds spent in each part of the cell."""
        return self.result.durations if self.result else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""
        return tuple(self.result.notes) if self.result else ()

    @property
    def provenance(self) -> Provenance | None:
        """Where the result came from."""
        return self.result.provenance if self.result else None

    @property
    def comparability(self) -> Comparability | None:
        """What must agree before numbers are compared."""
        return self.result.comparability if self.result else None

    @property
    def files(self) -> dict[str, Path]:
        """The existing files: result, samples, weights, log and others."""
        return {name: Path(path) for name, path in files_of(self.directory, self.id).items()}

    @property
    def pictures(self) -> dict[str, Path]:
        """The existing pictures: samples, reconstructions, closest pairs, training samples, interpolation."""
        return {name: path for name, path in self.files.items() if name in _PICTURES}

    @property
    def weights(self) -> dict[str, Path]:
        """The existing safetensors files: ``weights`` at the end of training, and ``best weights``."""
        return {name: path for name, path in self.files.items() if name in _WEIGHTS}

    def estimate(self, metric: str) -> Estimate:
        """Return the final estimate of a metric; raise `UsageError` with the reason or the nearest name."""
        return find_estimate(self.estimates, self.unavailable, metric)
