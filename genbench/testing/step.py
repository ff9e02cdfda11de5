"""A model's training step under pytest-benchmark: timed as `genbench run` times it, counted, and told of the machine.

    def test_my_gan_trains_as_fast_as_before(genbench_step):
        genbench_step("my-gan", batch_size=32)

A round of pytest-benchmark is a window here: a fixed number of steps between two synchronisations and none inside,
after a warm-up off the clock. Exact counters and the machine go into `extra_info`, where `genbench compare` finds them.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from genbench.cell.comparability import comparability
from genbench.cell.step_counters import count_steps
from genbench.data.loading import load_data
from genbench.errors import UsageError
from genbench.gate.from_file import KEPT_UNDER
from genbench.measure.accelerator import select_device
from genbench.measure.clock import synchronise
from genbench.plan.planner import make_plan
from genbench.plan.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.plugins.worker_catalogue import load_registry
from genbench.results.identity_settings import settings_by_kind
from genbench.results.schema import MACHINE_FIELDS, CellIdentity, Comparability
from genbench.train.builder import Built, build_cell
from genbench.train.network_checks import count_parameters

ROUNDS, STEPS, WARMUP_STEPS = 10, 20, 20


@dataclass(frozen=True)
class MeasuredStep:
    """What a test may assert on."""

    seconds_per_step: float | None  # median over windows; None where pytest-benchmark is disabled
    images_per_step: int
    counters: Mapping[str, float]  # exact: operations, host_reads, flops_per_image, parameters, …


class StepBenchmark:
    """The value of the fixture; `benchmark` is that of pytest-benchmark."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark

    def __call__(
        self,
        model: str,
        *,
        plugin: str | Path | None = None,
        rounds: int = ROUNDS,
        steps: int = STEPS,
        warmup_steps: int = WARMUP_STEPS,
        device: str = "cpu",
        **given: Any,
    ) -> MeasuredStep:
        """Build the model with its default loss on the default dataset, train it, and measure the step.

        Args:
            model: name of an installed model, or of one in `plugin`. It is imported into this process.
            plugin: a plugin in a single file.
            rounds: windows that are timed.
            steps: in each window; comparisons need the same number on both sides.
            warmup_steps: trained before, off the clock.
            device: where it trains.
            given: what `genbench run` has flags for, by the same names: ``losses="hinge"``, ``batch_size=32``,
                ``set={"my-gan": {"width": 8}}``.

        Raises `UsageError` where that is no cell, or more than one.
        """
        if min(rounds, steps) < 1 or warmup_steps < 0:
            raise UsageError("genbench_step needs at least one round of one step.")
        identity, built, conditions = _build({**given, "models": model}, plugin, device)
        here, step = torch.device(device), built.engine.step
        for _ in range(warmup_steps):
            step()
        built.engine.read_terms()
        synchronise(here)
        self._time(_ending_windows(step, steps, here), rounds, steps)
        built.engine.read_terms()
        counted = count_steps(built.engine, here)
        counters = {
            **_numbers(msgspec.structs.asdict(counted.counters)),
            "strided_convolutions": counted.counters.convolutions - counted.counters.channels_last,
            "flops_per_image": counted.flops_per_image,
            "parameters": float(sum(count_parameters(built.engine.networks, frozen=True).values())),
        }
        images = built.engine.images_per_step
        self._benchmark.extra_info |= counters
        self._benchmark.extra_info[KEPT_UNDER] = {
            "machine": {name: str(getattr(conditions, name)) or "none" for name in MACHINE_FIELDS},
            "settings": {
                "model": model,
                "loss": identity.loss.name,
                "dataset": identity.dataset.name,
                "steps": steps,
                **settings_by_kind(identity),
            },
            "images_per_step": images,
        }
        stats = self._benchmark.stats
        return MeasuredStep(None if stats is None else float(stats.stats.median), images, counters)

    def _time(self, step: Callable[[], None], rounds: int, steps: int) -> None:
        gc.collect()
        collected = gc.isenabled()
        gc.disable()
        try:
            self._benchmark.pedantic(step, rounds=rounds, iterations=steps, warmup_rounds=0)
        finally:
            if collected:
                gc.enable()


def _build(
    given: Mapping[str, Any], plugin: str | Path | None, device: str
) -> tuple[CellIdentity, Built, Comparability]:
    files = [] if plugin is None else [str(Path(plugin).resolve())]
    request = make_request({"profile": "smoke", "metrics": "none", "device": device, **given, "plugins": files})
    plan = make_plan(request, _catalogue(tuple(files)), select_device(device).type)
    if len(plan.cells) != 1 or plan.cells[0].reason:
        told = plan.cells[0].reason if len(plan.cells) == 1 else f"That is {len(plan.cells)} cells."
        raise UsageError(f"genbench_step measures one cell at a time. {told}")
    identity = plan.cells[0].identity
    catalogue = load_registry([asdict(plugin) for plugin in plan.plugins])
    data = load_data(identity.dataset, identity.image_shape, catalogue)
    here = torch.device(device)
    return identity, build_cell(identity, catalogue, data, here), comparability(identity, here, data)


@functools.cache
def _catalogue(files: tuple[str, ...]) -> Catalogue:
    """Ask all plugins what they register, which takes seconds, once in a session."""
    return discover(files)


def _ending_windows(step: Callable[[], None], steps: int, device: torch.device) -> Callable[[], None]:
    """Return a step that waits for the device whenever a window is full, so that its clock stops at the truth."""
    done = 0

    def counted() -> None:
        nonlocal done
        step()
        done += 1
        if done % steps == 0:
            synchronise(device)

    return counted


def _numbers(facts: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in facts.items() if isinstance(value, int | float)}
