"""A model's training step in pytest-benchmark: timed as by `genbench run`, with exact counters and machine facts.

    def test_my_gan_trains_as_fast_as_before(genbench_step):
        genbench_step("my-gan", batch_size=32)

A round of pytest-benchmark is a window: a fixed number of steps between two synchronisations, with none inside, after
an untimed warm-up. Counters and machine facts go into `extra_info`, where `genbench compare` finds them.
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

from genbench.cell.comparability import comparability, with_engine
from genbench.cell.step_counters import count_steps
from genbench.data.loading import load_data
from genbench.errors import UsageError
from genbench.gate.from_file import EXTRA_INFO_KEY
from genbench.gate.from_run import strided_convolutions
from genbench.measure import machine
from genbench.measure.accelerator import select_device
from genbench.measure.clock import synchronise, warm_up
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.results.identity_settings import settings_by_kind
from genbench.results.schema import MACHINE_FIELDS, CellIdentity, Comparability
from genbench.train.builder import Built, build_cell
from genbench.train.engine import Eager
from genbench.train.engines.selection import use_engine
from genbench.train.memory_format import format_name
from genbench.train.network_checks import count_parameters
from genbench.train.torch_setup import step_settings

ROUNDS, STEPS, WARMUP_STEPS = 10, 20, 20


@dataclass(frozen=True)
class MeasuredStep:
    """The measurement, for assertions in a test."""

    seconds_per_step: float | None  # median over windows; None if pytest-benchmark is disabled
    images_per_step: int
    counters: Mapping[str, float]  # exact: operations, host_reads, flops_per_image, parameters, …


class StepBenchmark:
    """The value of the fixture; `benchmark` is the fixture of pytest-benchmark."""

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
        threads: int | None = None,
        **given: Any,
    ) -> MeasuredStep:
        """Build the model with its default loss on the default dataset, train it, and measure a step.

        Args:
            model: name of an installed model, or of one in `plugin`. It is imported into this process.
            plugin: the path of a single-file plugin.
            rounds: number of timed windows.
            steps: steps per window; only measurements with the same number can be compared.
            warmup_steps: steps before the first window, untimed; on an accelerator, at least a second of them.
            device: device to train on.
            threads: number of torch threads; by default as in `genbench run`, whatever OMP_NUM_THREADS is.
            given: settings with the names of `genbench run` flags: ``losses="hinge"``, ``batch_size=32``,
                ``set={"my-gan": {"width": 8}}``.

        Raises `UsageError` if these settings do not result in exactly one cell that can run.
        """
        if min(rounds, steps) < 1 or warmup_steps < 0:
            raise UsageError("genbench_step needs at least one round of one step.")
        identity, catalogue = _plan_cell({**given, "models": model}, plugin, device)
        target = torch.device(device)
        with step_settings(str(identity.recipe["precision"]), threads or machine.default_threads()):
            built, conditions = _build_cell(identity, catalogue, target)
            step = built.engine.step
            warm_up(step, warmup_steps, target)
            built.engine.read_terms()
            self._time(_synchronising_each_window(step, steps, target), rounds, steps)
            built.engine.read_terms()
            built.engine.execution.close()
            built.engine.execution = Eager()
            counted = count_steps(built.engine, target)
        counters = {
            **_numeric(msgspec.structs.asdict(counted.counters)),
            "strided_convolutions": strided_convolutions(counted.counters, format_name(built.memory_format)),
            "flops_per_image": counted.flops_per_image,
            "parameters": float(sum(count_parameters(built.engine.networks, frozen=True).values())),
        }
        images = built.engine.images_per_step
        self._benchmark.extra_info |= counters
        self._benchmark.extra_info[EXTRA_INFO_KEY] = {
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
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            self._benchmark.pedantic(step, rounds=rounds, iterations=steps, warmup_rounds=0)
        finally:
            if was_enabled:
                gc.enable()


def _plan_cell(given: Mapping[str, Any], plugin: str | Path | None, device: str) -> tuple[CellIdentity, Catalogue]:
    """Return the only cell of these settings, and the plugins that it needs; raise `UsageError` for any other plan."""
    files = [] if plugin is None else [str(Path(plugin).resolve())]
    request = make_request({"profile": "smoke", "metrics": "none", "device": device, **given, "plugins": files})
    plan = make_plan(request, _catalogue(tuple(files)), select_device(device).type)
    if len(plan.cells) != 1 or plan.cells[0].reason:
        found = plan.cells[0].reason if len(plan.cells) == 1 else f"These settings give {len(plan.cells)} cells."
        raise UsageError(f"genbench_step measures one cell at a time. {found}")
    return plan.cells[0].identity, load_catalogue([asdict(plugin) for plugin in plan.plugins])


def _build_cell(identity: CellIdentity, catalogue: Catalogue, device: torch.device) -> tuple[Built, Comparability]:
    """Build the cell with its engine; return the conditions under which it is measured too."""
    data = load_data(identity.dataset, identity.image_shape, catalogue)
    built = build_cell(identity, catalogue, data, device)
    record = use_engine(built.engine, built.recipe)
    return built, with_engine(comparability(built.recipe, device, data), record)


@functools.cache
def _catalogue(files: tuple[str, ...]) -> Catalogue:
    """Discover all plugins, once per session: it takes seconds."""
    return discover(files)


def _synchronising_each_window(step: Callable[[], None], steps: int, device: torch.device) -> Callable[[], None]:
    """Return a step that synchronises with the device at the end of each window, so that the time covers all work."""
    done = 0

    def counted() -> None:
        nonlocal done
        step()
        done += 1
        if done % steps == 0:
            synchronise(device)

    return counted


def _numeric(facts: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in facts.items() if isinstance(value, int | float)}
