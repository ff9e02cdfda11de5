"""Training steps: that they repeat, never wait for the device, and are the same whichever engine executes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from genbench.doctor.devices import NO_GPU, chosen_device, gpu_that_can
from genbench.doctor.finding import Figure, Finding, combined, failed, passed, warning

if TYPE_CHECKING:
    import torch

    from genbench.results.schema import EngineBound
    from genbench.train.engine import Engine

_MODELS = ("vae", "dcgan")  # one of each built-in family; one with convolutions and batch norm
_STEPS = 20  # timed together
_FOREVER = 10**9  # steps left: the preparation of an engine always pays off
_REPORT = "Do not trust trainings on this device. Update torch, and report this with `genbench doctor --json`."


def eager(device: str) -> Finding:
    """Train a few steps twice from one state, and count host reads and launches."""
    target = chosen_device(device)
    return _combined(lambda name: _eager(name, target), _MODELS)


def compiled(device: str) -> Finding:
    """Compare the engine `compile` with the eager one."""
    target = chosen_device(device)
    return _combined(lambda name: _compare(name, "compile", target), _MODELS[:1])


def graph(device: str) -> Finding:
    """Compare the engine `graph` with the eager one; on a GPU only."""
    target = gpu_that_can(device, "graphs")
    return NO_GPU if target is None else _combined(lambda name: _compare(name, "graph", target), _MODELS)


def graph_of_compiled(device: str) -> Finding:
    """Compare the engine `graph+compile` with the eager one; on a GPU only."""
    target = gpu_that_can(device, "graphs")
    return NO_GPU if target is None else _combined(lambda name: _compare(name, "graph+compile", target), _MODELS[:1])


def _combined(examine: Callable[[str], Finding], models: Sequence[str]) -> Finding:
    """Combine the findings of several models, whose steps are in full fp32 as those of cells are."""
    from genbench.train.torch_setup import step_settings

    with step_settings("fp32"):
        return combined(map(examine, models))


def _eager(name: str, device: torch.device) -> Finding:
    from genbench.cell.step_counters import count_launches, count_steps
    from genbench.train.engine import Eager
    from genbench.train.engines.equivalence import check_execution, eager_trajectories

    engine = _tiny_engine(name, device)
    check = check_execution(engine, Eager(), eager_trajectories(engine))
    figures = [_time(name, engine), *(_deviation(name, bound) for bound in check.bounds[:1])]
    counted = count_steps(engine, device).counters
    launches = count_launches(engine, device)
    figures += [
        Figure(f"{name} operators", counted.operations, "per step"),
        Figure(f"{name} host reads", counted.host_reads, "per step"),
        *(Figure(f"{name} launches of {kind}", number, "per step") for kind, number in launches.items()),
    ]
    deviating = [bound for bound in check.bounds if bound.found > bound.tolerance]
    if deviating:
        return failed(f"Two trainings of {name} from the same state differ: {_explain(deviating)}.", _REPORT, *figures)
    if counted.host_reads:
        return failed(
            f"A step of {name} reads {counted.host_reads:g} tensors on the host: {', '.join(counted.waits)}.",
            "A package changes torch while it is imported, or genbench was changed: install both again.",
            *figures,
        )
    return passed(*figures)


def _compare(name: str, asked: str, device: torch.device) -> Finding:
    from genbench.measure.capabilities import can
    from genbench.runner.compile_cache import keep_compiled_code
    from genbench.train.engines.selection import choose_engine

    keep_compiled_code()
    engine = _tiny_engine(name, device)
    before = _time(f"{name} eager", engine)
    (trial,) = choose_engine(engine, asked, _FOREVER, lambda text: None).trials
    figures = [Figure(f"{name} preparation", trial.prepare_seconds, "s"), before]
    if trial.check is not None:
        figures += [_deviation(name, bound) for bound in trial.check.bounds]
    if trial.outcome == "deviates":
        return failed(
            f"The engine {asked} trains {name} differently: {trial.reason}.",
            f"Use --engine eager: cells reject this engine by the same test, and train eagerly. {_REPORT}",
            *figures,
        )
    if trial.outcome == "unavailable":
        missing = f"The engine {asked} cannot be used: {trial.reason}."
        if "compile" in asked:
            tools = "triton and a C compiler (gcc)"
            if can(device).compiler == "c++":
                tools = "a C++ compiler (g++) and Python's headers"
            return warning(missing, f"It needs {tools}. Without it cells train eagerly: results are right.", *figures)
        return failed(missing, f"Use --engine eager. {_REPORT}", *figures)
    return passed(*figures, _time(f"{name} {asked}", engine))


def _tiny_engine(name: str, device: torch.device) -> Engine:
    """Build a tiny cell of a built-in model with the code that a run uses."""
    from genbench.plugins.worker_catalogue import load_catalogue
    from genbench.testing.subject import Subject

    return Subject("models", name, load_catalogue([])).cell(device=device).engine


def _time(name: str, engine: Engine) -> Figure:
    """Return the time of a step of this tiny cell, mostly that of calling its operators."""
    from genbench.measure.clock import time_window

    device = engine.rng.device
    time_window(engine.step, _STEPS, device)
    done, seconds = time_window(engine.step, _STEPS, device)
    engine.read_terms()
    return Figure(f"{name} step", 1e3 * seconds / done, "ms")


def _deviation(name: str, bound: EngineBound) -> Figure:
    return Figure(f"{name} {bound.what.replace('_', ' ')} differ by", bound.found, allowed=bound.tolerance)


def _explain(bounds: Sequence[EngineBound]) -> str:
    return ", ".join(f"{bound.what.replace('_', ' ')} of {bound.of} by {bound.found:.2g}" for bound in bounds)
