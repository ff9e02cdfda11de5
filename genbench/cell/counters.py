"""Counters, measured in separate passes after training: operations of training and sampling, launches, energy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import torch

from genbench.cell.step_counters import StepCounts, count_launches, count_steps
from genbench.measure.capabilities import is_accelerator
from genbench.measure.clock import time_window
from genbench.measure.energy import EnergyMeter, EnergyUnavailable, open_meter
from genbench.measure.op_counts import OpCounter
from genbench.measure.op_listener import OpListener
from genbench.measure.peak_flops import MatrixPeak, matrix_peak
from genbench.results.schema import Counters, Energy, Roofline, Throughput
from genbench.train.engine import Eager, Engine

_MOST_NAMED = 3  # source lines in a note
_FIRST_STEPS = 10  # before energy is measured: they show how many steps a window has
_ENERGY_WINDOW = 0.5  # seconds between two synchronisations
_T = TypeVar("_T")


@dataclass(frozen=True)
class CounterRecord:
    """The results of the passes; None if a counter failed or counted nothing."""

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
    """Count the operations of steps and samples, and measure energy; a failed counter loses only its own value.

    The engine continues to train meanwhile, in steps whose results are discarded, and is left with eager execution.

    Args:
        engine: the engine, with the execution that trained.
        sample: generates that many images.
        device: the device of the engine.
        energy_seconds: duration of the energy measurement; 0: none.
        speed: throughput of the training, compared with the peak of matrix products.
        launch_bound: measures the fraction of an eager step's time that is spent on launching, given the eager engine.
    """
    notes: list[str] = []

    def attempt(what: str, counting: Callable[[], _T | None]) -> _T | None:
        try:
            return counting() or None
        except Exception as error:
            notes.append(f"{what} could not be counted: {type(error).__name__}: {error}")
            return None

    # Sampling comes first, because it needs the trained weights; then what needs the execution that trained.
    of_sample = attempt("floating-point operations of a sample", lambda: flops_per_sample(sample))
    energy = _energy(engine, device, energy_seconds)
    # Before the first profile if possible: a profiler that has once been used slows launches down.
    bound = None
    if launch_bound and engine.execution.name in (Eager.name, "graph"):
        bound = attempt("the launch-bound fraction", lambda: launch_bound(engine, device))
    trained = None
    if engine.execution.name != Eager.name:
        trained = attempt("launches of the execution that trained", lambda: count_launches(engine, device)) or {}
    steps = attempt("operations of a step", lambda: _eager_steps(engine, device))
    of_image = (steps.flops_per_image or None) if steps else None
    launches = attempt("launches", lambda: count_launches(engine, device)) or {}
    trained = launches if trained is None else trained
    roofline = attempt(
        "the peak of matrix products", lambda: compare_to_peak(matrix_peak(device, engine.precision), of_image, speed)
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
        notes += device_sync_notes(counters, device)
    return CounterRecord(of_image, of_sample, counters, roofline, energy, notes)


def _eager_steps(engine: Engine, device: torch.device) -> StepCounts:
    engine.execution.close()
    engine.execution = Eager()
    return count_steps(engine, device)


def device_sync_notes(counters: Counters, device: torch.device) -> list[str]:
    """Return a note on what synchronises with the device in a step, the most frequent first, if anything does."""
    times = max(counters.host_reads, counters.device_waits or 0.0)
    if not times:
        return []
    named = sorted(counters.waits, key=lambda what: -counters.waits[what])
    places = ", ".join(named[:_MOST_NAMED]) or "torch does not report where"
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    often = "once" if times == 1 else f"{times:.4g} times"
    remark = "" if is_accelerator(device) else " (no cost on a CPU, but on a GPU)"
    return [f"synchronises with the device {often} per step: {places}{more}{remark}"]


def compare_to_peak(peak: MatrixPeak, flops_per_image: float | None, speed: Throughput | None) -> Roofline:
    """Return the peak and the fraction of it that training reached (MFU, model FLOPs utilisation).

    Chowdhery et al. 2022, "PaLM", appendix B, for the tokens of a language model; here for real images.
    """
    mfu = flops_per_image * speed.images_per_second / peak.per_second if flops_per_image and speed else None
    return Roofline(peak=peak.per_second, product=str(peak), mfu=mfu)


def _energy(engine: Engine, device: torch.device, seconds: float) -> Energy:
    if not seconds:
        return Energy(reason="not requested (energy_seconds = 0)")
    try:
        return measure_energy(engine, device, seconds, open_meter(device))
    except EnergyUnavailable as error:
        return Energy(reason=str(error))
    except Exception as error:
        return Energy(reason=f"{type(error).__name__}: {error}")


def flops_per_image(engine: Engine) -> float:
    """Return the floating-point operations of training per real image, from one more step of each kind.

    Counted with the formulas of torch's own counter, in which a multiplication and an addition are two operations:
    matrix products and convolutions, forward and backward, but not activations, normalisation and optimisers. A phase
    that runs in every k-th step has the weight 1 / k.
    """
    return count_steps(engine, engine.rng.device).flops_per_image


def flops_per_sample(sample: Callable[[int], object], images: int = 2) -> float:
    """Return the floating-point operations per generated image, counted like those of training.

    `sample(n)` generates n images. If that takes several passes of a network, each pass counts.
    """
    operators = OpCounter()
    with torch.no_grad(), OpListener(operators.operation):
        sample(images)
    return operators.flops / images


def measure_energy(engine: Engine, device: torch.device, seconds: float, meter: EnergyMeter) -> Energy:
    """Continue to train for at least `seconds` and return the energy it took; the steps are discarded."""
    done, taken = time_window(engine.step, _FIRST_STEPS, device)
    images_before = engine.images_seen
    meter.start()
    while (left := seconds - meter.seconds()) > 0:
        steps = math.ceil(done * min(left, _ENERGY_WINDOW) / max(taken, 1e-6))
        done, taken = time_window(engine.step, max(1, steps), device)
    joules, elapsed = meter.stop()
    engine.read_terms()
    images = engine.images_seen - images_before
    return Energy(joules=joules, seconds=elapsed, images=images, joules_per_image=joules / images, source=meter.source)
