"""Counters in passes of their own, when nothing is timed any more: operations of training and of sampling, energy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genbench.exchange import Objective, Phase
from genbench.measure.clock import synchronise
from genbench.measure.energy import EnergyMeter, EnergyUnavailable, open_meter
from genbench.results.schema import Energy
from genbench.train.engine import Engine


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


@dataclass(frozen=True)
class Counted:
    """What the passes found; None where a counter failed, or counted nothing."""

    flops_per_image: float | None
    flops_per_sample: float | None
    energy: Energy
    notes: list[str]


def count(engine: Engine, sample: Callable[[int], object], device: torch.device, energy_seconds: float) -> Counted:
    """Count operations and measure energy; a counter that fails costs its own figure only.

    The engine trains on meanwhile, in steps whose results nobody keeps. With `energy_seconds` 0 energy is not measured.
    """
    notes: list[str] = []

    def tried(what: str, counting: Callable[[], float]) -> float | None:
        try:
            return counting() or None
        except Exception as error:
            notes.append(f"floating-point operations of {what} could not be counted: {type(error).__name__}: {error}")
            return None

    of_sample = tried("a sample", lambda: flops_per_sample(sample))  # first: the other passes train on
    of_image = tried("training", lambda: flops_per_image(engine))
    return Counted(of_image, of_sample, _energy(engine, device, energy_seconds), notes)


def _energy(engine: Engine, device: torch.device, seconds: float) -> Energy:
    if not seconds:
        return Energy(reason="not asked for (energy_seconds = 0)")
    try:
        return measure_energy(engine, device, seconds, open_meter(device))
    except EnergyUnavailable as error:
        return Energy(reason=str(error))
    except Exception as error:
        return Energy(reason=f"{type(error).__name__}: {error}")


def flops_per_image(engine: Engine) -> float:
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


def flops_per_sample(sample: Callable[[int], object], images: int = 2) -> float:
    """Return the floating-point operations per generated image, counted as those of training are.

    `sample(n)` makes n images. All that it takes counts: each of the passes of a network that is asked several times.
    """
    with torch.no_grad(), _Flops() as counter:  # type: ignore[no-untyped-call]
        sample(images)
    return counter.total / images  # type: ignore[no-any-return]


def measure_energy(engine: Engine, device: torch.device, seconds: float, meter: EnergyMeter) -> Energy:
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
