"""Counters in passes of their own, when nothing is timed any more: operations and energy of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genbench.exchange import Objective, Phase
from genbench.measure.clock import synchronise
from genbench.measure.energy import EnergyMeter, EnergyUnavailable, open_meter
from genbench.results.schema import Energy
from genbench.train.engine import EagerEngine


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the operations of every matrix product and convolution, by the formulas of torch's own counter.

    `FlopCounterMode` itself follows modules by hooks that fail under gradient penalties (`autograd.grad` inside).
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


class _Operations:
    """An engine's observer that counts the floating-point operations of each phase."""

    def __init__(self) -> None:
        self.per_step = Fraction(0)

    @contextmanager
    def updating(self, phase: Phase) -> Iterator[None]:
        with _Flops() as counter:  # type: ignore[no-untyped-call]
            yield
        self.per_step += Fraction(counter.total, phase.every)

    def gradients(self, phase: Phase, objective: Objective) -> None:
        pass


def count(engine: EagerEngine, device: torch.device, energy_seconds: float) -> tuple[float | None, Energy, list[str]]:
    """Return operations per image, energy, and notes; a counter that fails costs its own figure only.

    The engine trains on meanwhile, in steps whose results nobody keeps. With `energy_seconds` 0 energy is not measured.
    """
    flops, notes = None, []
    try:
        flops = flops_per_image(engine) or None
    except Exception as error:
        notes.append(f"floating-point operations could not be counted: {type(error).__name__}: {error}")
    if not energy_seconds:
        return flops, Energy(reason="not asked for (energy_seconds = 0)"), notes
    try:
        return flops, measure_energy(engine, device, energy_seconds, open_meter(device)), notes
    except EnergyUnavailable as error:
        return flops, Energy(reason=str(error)), notes
    except Exception as error:
        return flops, Energy(reason=f"{type(error).__name__}: {error}"), notes


def flops_per_image(engine: EagerEngine) -> float:
    """Return the floating-point operations of training per real image, from one more step.

    Counted by the formulas of torch's own counter, in which a multiplication and an addition are two: matrix products
    and convolutions, forwards and backwards; not activations, normalisation and optimisers. A phase that runs in each
    k-th step counts one k-th.
    """
    operations = _Operations()
    step_number = engine.step_number
    engine.step_number, engine.observer = 0, operations  # in step 0 every phase is due
    try:
        engine.step()
    finally:
        engine.step_number, engine.observer = step_number, None
    engine.read_terms()
    return float(operations.per_step / engine.images_per_step)


def measure_energy(engine: EagerEngine, device: torch.device, seconds: float, meter: EnergyMeter) -> Energy:
    """Train on for at least `seconds` and return what the meter counted; the steps change nothing that is kept."""
    images_before = engine.images_seen
    synchronise(device)
    meter.start()
    while meter.seconds() < seconds:
        for _ in range(10):
            engine.step()
        synchronise(device)
        engine.read_terms()
    joules, elapsed = meter.stop()
    images = engine.images_seen - images_before
    return Energy(joules=joules, seconds=elapsed, images=images, joules_per_image=joules / images, source=meter.source)
