"""Counters of a step: operations, host reads and memory on any device, launches and device syncs on a GPU.

If a phase runs only in every k-th step, there are several kinds of steps: each is counted once and weighted by its
frequency. The eager execution is counted, the reference for all others; for the one that trained, only its launches.
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
from genbench.measure.capabilities import can
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
    """The counts per step, averaged over a period."""

    counters: Counters
    flops: Fraction  # per step
    images: Fraction  # real images per step

    @property
    def flops_per_image(self) -> float:
        """Floating-point operations per real image consumed."""
        return float(self.flops / self.images)


def count_steps(engine: Engine, device: torch.device) -> StepCounts:
    """Count one step of each kind, with the eager execution; the engine continues to train meanwhile."""
    sums: dict[str, Fraction] = {}
    reads: dict[Read, Fraction] = {}
    peak, allocated = 0, None
    _initialise(engine)
    for share, counted in _each_kind(engine, lambda: _count_step(engine, device)):
        for name, number in counted.sums.items():
            sums[name] = sums.get(name, Fraction(0)) + share * number
        for read, number in counted.reads.items():
            reads[read] = reads.get(read, Fraction(0)) + share * number
        peak = max(peak, counted.peak)
        allocated = counted.allocated if allocated is None else max(allocated, counted.allocated or 0)
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


def _initialise(engine: Engine) -> None:
    """Do what happens only once: loaders prefetch images, and new optimisers create their state."""
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
    """Return launches per step of `kernels` and whole `graphs` by the execution; empty on a CPU, or if unknown."""
    if not can(device).profiled:
        return {}
    sums = {"kernels": Fraction(0), "graphs": Fraction(0)}
    for share, names in _each_kind(engine, lambda: _profile_calls(engine, device)):
        for kind, number in count_launch_calls(names).items():
            sums[kind] += share * number
    if not any(sums.values()):
        return {}  # the profiler has recorded no call of CUDA, for lack of CUPTI
    return {kind: float(number) for kind, number in sums.items()}


def count_launch_calls(calls: Mapping[str, int]) -> dict[str, int]:
    """Return how many of these calls of the CUDA runtime or driver launch `kernels`, and how many launch `graphs`."""
    found = {"kernels": 0, "graphs": 0}
    for name, times in calls.items():
        if "GraphLaunch" in name:
            found["graphs"] += times
        elif name.startswith(("cudaLaunch", "cuLaunch")) and "HostFunc" not in name:
            found["kernels"] += times
    return found


def _each_kind(engine: Engine, measure: Callable[[], _T]) -> Iterator[tuple[Fraction, _T]]:
    """Yield the fraction of each kind of step, and what `measure`, which runs one step, returns for it."""
    number_before = engine.step_number
    try:
        for number, share in step_kinds(player.phase.every for player in engine.players).items():
            engine.step_number = number
            yield share, measure()
            engine.read_terms()
    finally:
        engine.step_number = number_before


@dataclass
class _CountedStep:
    """The counts of one step."""

    sums: dict[str, int]
    reads: Counter[Read]
    peak: int
    allocated: int | None


class _OutsidePhases:
    """An observer that distinguishes shuffles of the data from permutations that a phase draws."""

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


def _count_step(engine: Engine, device: torch.device) -> _CountedStep:
    """Count one step, or the next one if the first starts a new epoch, since drawing its order is an operation too."""
    number = engine.step_number
    counted, shuffled = _count_any_step(engine, device)
    if shuffled:
        engine.step_number = number
        counted, _ = _count_any_step(engine, device)
    return counted


def _count_any_step(engine: Engine, device: torch.device) -> tuple[_CountedStep, bool]:
    operators, live, reads = OpCounter(), MemoryCounter(), HostReads(device.type)
    for network in engine.networks.values():
        network.zero_grad(set_to_none=True)  # so that the step allocates the gradients
    engine.read_terms()
    images = engine.images_seen
    engine.observer = outside = _OutsidePhases(operators)
    gc.disable()
    try:
        with (
            _observe_gpu(device) as gpu,
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
    if gpu.syncs is not None:
        sums["device_waits"] = gpu.syncs
    return _CountedStep(sums, reads.counts, live.peak, gpu.allocated), outside.shuffles > 0


@dataclass
class _GpuCounts:
    """What torch reports about a step on a GPU; None on a CPU."""

    syncs: int | None = None
    allocated: int | None = None


@contextmanager
def _observe_gpu(device: torch.device) -> Iterator[_GpuCounts]:
    gpu = _GpuCounts()
    if not can(device).profiled:
        yield gpu
        return
    synchronise(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield gpu
        finally:
            torch.cuda.set_sync_debug_mode("default")
    gpu.syncs = sum("called a synchronizing CUDA operation" in str(warning.message) for warning in caught)
    gpu.allocated = torch.cuda.max_memory_allocated(device) - before


def _profile_calls(engine: Engine, device: torch.device) -> Counter[str]:
    """Return the names of all calls that the profiler records in a step, with their numbers."""
    synchronise(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        engine.step()
    return Counter(event.name for event in profiler.events() or ())
