"""The partial result of a running cell: the records of its stages so far, which give a result at any moment."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from genbench.api.evaluation import Estimate, Unavailable
from genbench.cell.counters import CounterRecord
from genbench.results.schema import (
    Best,
    CellResult,
    Comparability,
    CurvePoint,
    Distributed,
    Durations,
    EngineRecord,
    EvaluationPoint,
    Memory,
    PlannedCell,
    Proof,
    Provenance,
    Status,
    Surroundings,
    Throughput,
    TrainingSamples,
    Transfer,
    Window,
)

# The fields of a record have the names of the fields of `CellResult` that they fill.


@dataclass(frozen=True)
class LoadRecord:
    """Known once the data are loaded."""

    comparability: Comparability


@dataclass(frozen=True)
class BuildRecord:
    """Known once the networks are built."""

    parameters: dict[str, int]
    total_parameters: dict[str, int]
    frozen: list[str]
    transfer: Transfer | None
    classes: int
    class_names: list[str]
    unused_settings: list[str]


@dataclass(frozen=True)
class EngineChoiceRecord:
    """Which engine executes the steps."""

    engine: EngineRecord
    comparability: Comparability  # with the engine that is used


@dataclass(frozen=True)
class TrainingRecord:
    """The training so far, however it ended."""

    steps: int
    images: int
    windows: list[Window]
    curves: list[CurvePoint]
    throughput: Throughput | None
    stopped_early: bool
    distributed: Distributed | None
    evaluations: list[EvaluationPoint]
    best: Best | None


@dataclass(frozen=True)
class TrainingSamplesRecord:
    """The file with the samples during training, however it ended."""

    training_samples: TrainingSamples


@dataclass(frozen=True)
class InterferenceRecord:
    """Interference from other processes while the cell trained."""

    surroundings: Surroundings
    comparability: Comparability  # with what slowed the GPU down


@dataclass(frozen=True)
class TrainedRecord:
    """Memory use and training evidence, measured directly after the last step."""

    memory: Memory
    proof: Proof


@dataclass(frozen=True)
class SamplesRecord:
    """How samples were drawn."""

    sampling: dict[str, str]
    samples_per_second: float | None
    evaluations_per_sample: float | None


@dataclass(frozen=True)
class SamplerSpeedRecord:
    """Samples per second, and evaluations of networks per sample, of the further samplers, by label."""

    sampler_speeds: dict[str, float]
    sampler_evaluations: dict[str, float]


@dataclass(frozen=True)
class EvaluationRecord:
    """The metrics at the end of training."""

    estimates: list[Estimate]
    unavailable: list[Unavailable]
    evaluations: list[EvaluationPoint]
    best: Best | None


StageRecord: TypeAlias = (
    LoadRecord
    | BuildRecord
    | EngineChoiceRecord
    | TrainingRecord
    | TrainingSamplesRecord
    | InterferenceRecord
    | TrainedRecord
    | SamplesRecord
    | SamplerSpeedRecord
    | EvaluationRecord
    | CounterRecord
)


@dataclass
class PartialResult:
    """The records so far; if two fill the same field, the later one wins."""

    records: list[StageRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # by field of `Durations`
    notes: list[str] = field(default_factory=list)
    resumed_at_step: int | None = None
    train_briefly: Callable[[int], None] | None = None  # during training: takes two steps with this batch size

    def add(self, record: StageRecord) -> None:
        """Add the record of a stage."""
        self.records.append(record)

    def note(self, *notes: str) -> None:
        """Add notes, each once."""
        self.notes += [note for note in notes if note not in self.notes]

    @property
    def comparability(self) -> Comparability:
        """The latest comparability of the cell; the data must be loaded."""
        found = [record.comparability for record in self.records if hasattr(record, "comparability")]
        return found[-1]

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the seconds spent inside to that part."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begin

    def result(
        self, planned: PlannedCell, status: Status, reason: str, code: str, provenance: Provenance, total_seconds: float
    ) -> CellResult:
        """Return the result of the cell, with everything known so far."""
        known: dict[str, Any] = {}
        for record in self.records:
            known |= {one.name: getattr(record, one.name) for one in dataclasses.fields(record) if one.name != "notes"}
        return CellResult(
            id=planned.id,
            identity=planned.identity,
            status=status,
            reason=reason,
            code=code,
            synthetic_data=planned.synthetic_data,
            provenance=provenance,
            durations=Durations(**self.seconds, total=total_seconds),
            notes=self.notes,
            **known,
        )
