"""Counting what steps ask of torch and of a GPU: each kind of step once, weighted by how often it comes.

Steps are of several kinds where a phase runs in each k-th step only. Counted is the eager execution, which all others
are held to; of the one that trained, launches on a GPU.
"""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

from genbench.api.training import Objective, Phase
from genbench.measure.clock import synchronise
from genbench.measure.host_reads import HostReads, Read
from genbench.measure.op_counts import MemoryCounter, OpCounter
from genbench.measure.op_listener import OpListener
from genbench.results.schema import Counters
from genbench.train.engine import Engine
from genbench.train.step_kinds import step_kinds

_T = TypeVar("_T")


@dataclass(frozen=True)
class StepCounts:
    """What one step of a period came to, on average."""

    counters: Counters
    flops: Fraction  # per step
    images: Fraction  # real images per step

    @property
    def flops_per_image(self) -> float:
        """Floating-point operations per real image consumed."""
        return float(self.flops / self.images)


def count_steps(engine: Engine, device: torch.device) -> StepCounts:
    """Count one step of each kind; the engine trains on meanwhile. Its execution is to be the eager one."""
    sums: dict[str, Fraction] = {}
    reads: dict[Read, Fraction] = {}
    peak, allocated = 0, None
    _settle(engine)
    for share, taken in _each_kind(engine, lambda: _count_step(engine, device)):
        for name, number in taken.sums.items():
            sums[name] = sums.get(name, Fraction(0)) + share * number
        for read, number in taken.reads.items():
            reads[read] = reads.get(read, Fraction(0)) + share * number
        peak = max(peak, taken.peak)
        allocated = taken.allocated if allocated is None else max(allocated, taken.allocated or 0)
    flops, images = sums.pop("flops"), sums.pop("images")
    waits = {str(read): float(number) for read, number in sorted(reads.items(), key=lambda item: str(item[0]))}
    counters = Counters(
        engine=engine.execution.name,
        host_reads=float(sum(reads.values(), Fraction(0))),
        waits=waits,
        peak_bytes=peak,
        peak_allocator_bytes=allocated,
        **{name: float(number) for name, number in sums.items()},
    )
    return StepCounts(counters, flops, images)


def _settle(engine: Engine) -> None:
    """Do what happens once: streams fetch images ahead, and optimisers that have not stepped make their state."""
    engine.data.next_batch()
    if any(player.optimizer is not None and not player.optimizer.state for player in engine.players):
        number = engine.step_number
        engine.step_number = 0  # every phase is due
        try:
            engine.step()
        finally:
            engine.step_number = number
        engine.read_terms()


def count_launches(engine: Engine, device: torch.device) -> dict[str, float]:
    """Return launches per step by the engine's execution: of single `kernels`, of whole `graphs`; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    sums = {"kernels": Fraction(0), "graphs": Fraction(0)}
    for share, names in _each_kind(engine, lambda: _profiled(engine, device)):
        for kind, number in launches_among(names).items():
            sums[kind] += share * number
    return {kind: float(number) for kind, number in sums.items()}


def launches_among(calls: Mapping[str, int]) -> dict[str, int]:
    """Return how many of these calls of the CUDA runtime and driver launch `kernels`, and how many `graphs`."""
    found = {"kernels": 0, "graphs": 0}
    for name, times in calls.items():
        if "GraphLaunch" in name:
            found["graphs"] += times
        elif name.startswith(("cudaLaunch", "cuLaunch")) and "HostFunc" not in name:
            found["kernels"] += times
    return found


def _each_kind(engine: Engine, take: Callable[[], _T]) -> Iterator[tuple[Fraction, _T]]:
    """Yield what `take` returns of a step of each kind, with the share that such steps have."""
    number_before = engine.step_number
    try:
        for number, share in step_kinds(player.phase.every for player in engine.players).items():
            engine.step_number = number
            yield share, take()
            engine.read_terms()
    finally:
        engine.step_number = number_before


@dataclass
class _Taken:
    """The counts of one step."""

    sums: dict[str, int]
    reads: Counter[Read]
    peak: int
    allocated: int | None


class _OutsidePhases:
    """An engine's observer that tells shuffles of the data from permutations that a phase draws."""

    def __init__(self, operators: OpCounter) -> None:
        self._operators = operators
        self._inside = 0

    @property
    def shuffles(self) -> int:
        return self._operators.shuffles - self._inside

    @contextmanager
    def updating(self, phase: Phase) -> Iterator[None]:
        before = self._operators.shuffles
        yield
        self._inside += self._operators.shuffles - before

    def gradients(self, phase: Phase, objective: Objective) -> None:
        pass


def _count_step(engine: Engine, device: torch.device) -> _Taken:
    """Count one step; one that began a new epoch, and drew its order, is left out if the next does not."""
    number = engine.step_number
    taken, shuffled = _count_any_step(engine, device)
    if shuffled:
        engine.step_number = number
        taken, _ = _count_any_step(engine, device)
    return taken


def _count_any_step(engine: Engine, device: torch.device) -> tuple[_Taken, bool]:
    operators, live, reads = OpCounter(), MemoryCounter(), HostReads(device.type)
    for network in engine.networks.values():
        network.zero_grad(set_to_none=True)  # gradients are then among what the step allocates
    engine.read_terms()
    images = engine.images_seen
    engine.observer = outside = _OutsidePhases(operators)
    gc.disable()
    try:
        with (
            _gpu_observed(device) as gpu,
            reads.methods(),
            OpListener(operators.operation, reads.operation, live.operation),
        ):
            engine.step()
    finally:
        gc.enable()
        engine.observer = None
    sums = {
        "flops": operators.flops,
        "images": engine.images_seen - images,
        "operations": operators.calls,
        "convolutions": operators.convolutions,
        "channels_last": operators.channels_last,
        "layout_copies": operators.conversions,
    }
    if gpu.waits is not None:
        sums["device_waits"] = gpu.waits
    return _Taken(sums, reads.counts, live.peak, gpu.allocated), outside.shuffles > 0


@dataclass
class _Gpu:
    """What torch says of a step on a GPU; nothing on a CPU."""

    waits: int | None = None
    allocated: int | None = None


@contextmanager
def _gpu_observed(device: torch.device) -> Iterator[_Gpu]:
    gpu = _Gpu()
    if device.type != "cuda":
        yield gpu
        return
    synchronise(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield gpu
        finally:
            torch.cuda.set_sync_debug_mode("default")
    gpu.waits = sum("called a synchronizing CUDA operation" in str(warning.message) for warning in said)
    gpu.allocated = torch.cuda.max_memory_allocated(device) - before


def _profiled(engine: Engine, device: torch.device) -> Counter[str]:
    """Return the names of all calls that the profiler sees in a step."""
    synchronise(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        engine.step()
    return Counter(event.name for event in profiler.events() or ())
