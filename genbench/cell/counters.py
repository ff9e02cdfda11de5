"""Counters in passes of their own, when nothing is timed any more: operations of training and of sampling, energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import torch

from genbench.cell.step_counters import StepCounts, count_launches, count_steps
from genbench.measure.clock import synchronise
from genbench.measure.energy import EnergyMeter, EnergyUnavailable, open_meter
from genbench.measure.op_counts import OpCounter
from genbench.measure.op_listener import OpListener
from genbench.measure.peak_flops import MatrixPeak, matrix_peak
from genbench.results.schema import Counters, Energy, Roofline, Throughput
from genbench.train.engine import Eager, Engine

_MOST_NAMED = 3  # lines that wait
_T = TypeVar("_T")


@dataclass(frozen=True)
class CounterRecord:
    """What the passes found; None where a counter failed, or counted nothing."""

    flops_per_image: float | None
    flops_per_sample: float | None
    counters: Counters | None
    roofline: Roofline | None
    energy: Energy
    notes: list[str]


def count(
    engine: Engine,
    sample: Callable[[int], object],
    device: torch.device,
    energy_seconds: float,
    speed: Throughput | None = None,
    launch_bound: Callable[[Engine, torch.device], float | None] | None = None,
) -> CounterRecord:
    """Count what steps and samples ask of torch, and measure energy; a counter that fails costs its own figure only.

    The engine trains on meanwhile, in steps whose results nobody keeps, and is left with the eager execution.

    Args:
        engine: with the execution that trained.
        sample: makes that many images.
        device: where all this happens.
        energy_seconds: how long energy is measured; 0: not at all.
        speed: of the training, which is compared with what the machine can multiply.
        launch_bound: measures which share of an eager step's time is spent on launching; given the eager engine.
    """
    notes: list[str] = []

    def tried(what: str, counting: Callable[[], _T | None]) -> _T | None:
        try:
            return counting() or None
        except Exception as error:
            notes.append(f"{what} could not be counted: {type(error).__name__}: {error}")
            return None

    # First what the weights are sampled for, then what the execution that trained is needed for.
    of_sample = tried("floating-point operations of a sample", lambda: flops_per_sample(sample))
    energy = _energy(engine, device, energy_seconds)
    trained = None
    if engine.execution.name != Eager.name:
        trained = tried("launches of the execution that trained", lambda: count_launches(engine, device)) or {}
    steps = tried("what a step asks of torch", lambda: _eager_steps(engine, device))
    of_image = (steps.flops_per_image or None) if steps else None
    launches = tried("launches", lambda: count_launches(engine, device)) or {}
    trained = launches if trained is None else trained
    bound = tried("the time of launches", lambda: launch_bound(engine, device)) if launch_bound else None
    roofline = tried(
        "a matrix product", lambda: compare_to_peak(matrix_peak(device, engine.precision), of_image, speed)
    )
    if roofline is not None:
        roofline = msgspec.structs.replace(roofline, launch_bound=bound)
    counters = steps.counters if steps else None
    if counters is not None:
        counters = msgspec.structs.replace(
            counters,
            kernel_launches=launches.get("kernels"),
            trained_launches=trained.get("kernels"),
            trained_graph_launches=trained.get("graphs"),
        )
        notes += waiting(counters, device)
    return CounterRecord(of_image, of_sample, counters, roofline, energy, notes)


def _eager_steps(engine: Engine, device: torch.device) -> StepCounts:
    engine.execution.close()
    engine.execution = Eager()
    return count_steps(engine, device)


def waiting(counters: Counters, device: torch.device) -> list[str]:
    """Return a note that names what waits for the device in a step, the most frequent first; or none."""
    times = max(counters.host_reads, counters.device_waits or 0.0)
    if not times:
        return []
    named = sorted(counters.waits, key=lambda what: -counters.waits[what])
    said = ", ".join(named[:_MOST_NAMED]) or "torch does not say where"
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    often = "once" if times == 1 else f"{times:.4g} times"
    aside = "" if device.type == "cuda" else " (of a GPU: a CPU waits for nobody)"
    return [f"waits for the device {often} per step: {said}{more}{aside}"]


def compare_to_peak(peak: MatrixPeak, flops_per_image: float | None, speed: Throughput | None) -> Roofline:
    """Return the peak with the share of it that training reached (MFU, model FLOPs utilisation).

    Chowdhery et al. 2022, "PaLM", appendix B, of a language model's tokens; here of real images.
    """
    mfu = flops_per_image * speed.images_per_second / peak.per_second if flops_per_image and speed else None
    return Roofline(peak=peak.per_second, product=str(peak), mfu=mfu)


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
    """Return the floating-point operations of training per real image, from one more step of each kind.

    Counted by the formulas of torch's own counter, in which a multiplication and an addition are two: matrix products
    and convolutions, forwards and backwards; not activations, normalisation and optimisers. A phase that runs in each
    k-th step counts one k-th.
    """
    return count_steps(engine, engine.rng.device).flops_per_image


def flops_per_sample(sample: Callable[[int], object], images: int = 2) -> float:
    """Return the floating-point operations per generated image, counted as those of training are.

    `sample(n)` makes n images. All that it takes counts: each of the passes of a network that is asked several times.
    """
    operators = OpCounter()
    with torch.no_grad(), OpListener(operators.operation):
        sample(images)
    return operators.flops / images


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
