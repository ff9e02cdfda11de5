"""`genbench.run` and `genbench.resume`: training and measuring models."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from genbench.commands.arguments import PluginSource, described, plugin_paths, request_of
from genbench.commands.execution import (
    Finished,
    Output,
    create_run,
    enter_planning_directory,
    execute,
    reopen_run,
    resumption_named,
)
from genbench.commands.load import load
from genbench.commands.preparation import (
    choose_job_runner,
    prepared,
    require_limit_possible,
    require_present,
    require_sharing,
    require_unicode,
)
from genbench.commands.results import Results
from genbench.commands.weights import inception_weights
from genbench.planning.executor_choice import LOCAL
from genbench.planning.request import Request
from genbench.plugins.recorded_files import Allowed
from genbench.report.progress import PlainDisplay, SilentDisplay, choose_display
from genbench.results.environment_variables import require_valid
from genbench.results.run_lock import hold
from genbench.results.store import RunDirectory
from genbench.runner.job_runner import JobRunner
from genbench.runner.supervisor import Interrupted, interrupt_on_signals

Progress: TypeAlias = bool | Callable[[str], object]  # a function receives each line


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal that ends a run: what was finished is kept, and `genbench.resume(path)` continues."""

    def __init__(self, path: Path, call: str = "genbench.resume({!r})") -> None:
        super().__init__(f"Interrupted. Go on with: {call.format(str(path))}")
        self.path = path


def run(
    models: str | Sequence[str] | None = None,
    losses: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    *,
    seeds: int | Sequence[int] | None = None,
    metrics: str | Sequence[str] | None = None,
    samplers: str | Sequence[str] | None = None,
    target: Mapping[str, float] | Sequence[str] | None = None,
    race: str | None = None,
    reporters: str | Sequence[str] | None = None,
    device: str | None = None,
    executor: str | None = None,
    parallel: int | None = None,
    devices: str | Sequence[str] | None = None,
    timing: str | None = None,
    profile: str | None = None,
    set: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    zip: Sequence[str] | Sequence[Sequence[str]] | None = None,
    config: str | Path | None = None,
    plugins: PluginSource | Sequence[PluginSource] | None = None,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    timeout: float | None = None,
    memory_limit: float | None = None,
    threads: int | None = None,
    rdzv_endpoint: str | None = None,
    rdzv_id: str | None = None,
    progress: Progress = True,
    in_process: bool = False,
    pdb: bool = False,
    **recipe: Any,
) -> Results:
    """Train and measure models, each cell in a process of its own, and return the results.

    Every argument has the name and meaning of the flag of `genbench run` and of the key in a TOML plan; None means its
    default. A cell that fails is a result with a status, not an exception. Raises `UsageError` for an invalid request,
    and `RunInterrupted`, which is a KeyboardInterrupt, with the path of the run to resume.

    Args:
        models: names of models, as a list or separated by commas.
        losses: losses to combine them with; by default, each model's own.
        datasets: datasets; ``folder:PATH`` for your own images.
        seeds: training seeds, one cell for each.
        metrics: metrics; an empty list measures none.
        samplers: also measure the cells with these samplers of their families, as ``["fast:steps=10"]``.
        target: values of metrics to reach, as ``{"fd-fashion-cnn": 40}``.
        race: drop cells that are surely not the best by this metric, as ``"fd"`` or ``"fd:error=1%:seeds=20"``.
        reporters: trackers to report to.
        device: ``cpu``, ``cuda``, ``cuda:1``, …, ``mps``, ``xpu`` or ``auto``.
        executor: where the cells run: ``local``, or an executor of a plugin.
        parallel: cells that run at the same time on this machine.
        devices: devices that run one cell each at the same time, as ``["cuda:0", "cuda:1"]``.
        timing: how cells that share processors or a device train: ``turns`` or ``shared``.
        profile: the budget: ``smoke``, ``quick``, ``standard`` or ``full``.
        set: options, as ``{"dcgan.width": 32}`` or ``{"dcgan": {"width": 32}}``.
        variants: named changes of the recipe, as ``{"averaged": {"ema_half_life": 10000}}``.
        zip: settings whose lists of values are paired instead of crossed, as ``["batch_size", "learning_rate"]``.
        config: a TOML plan; the other arguments take precedence.
        plugins: plugin files, or imported modules with a file of their own.
        weights: path of the Inception weights.
        out: the run directory; by default, a new one in ``results/``.
        timeout: seconds per cell; 0: no limit.
        memory_limit: GiB per cell.
        threads: number of torch threads.
        rdzv_endpoint: rendezvous endpoint for training on several machines.
        rdzv_id: rendezvous id.
        progress: whether to show progress on standard error; a function receives it line by line.
        in_process: run the cells in this process, so that a debugger works; timings are then not valid.
        pdb: start the debugger when a cell raises an exception; implies `in_process`.
        recipe: fields of the recipe, such as ``batch_size=64``; a list makes one cell for each value.
    """
    given = {
        "models": models, "losses": losses, "datasets": datasets, "seeds": seeds, "metrics": metrics, "target": target,
        "samplers": samplers, "race": race,
        "reporters": reporters, "device": device, "executor": executor, "parallel": parallel,
        "devices": devices, "timing": timing, "profile": profile,
        "set": set, "variants": variants, "zip": zip,
        "config": config, "plugins": plugins, "weights": weights, "out": out, "timeout": timeout,
        "memory_limit": memory_limit, "threads": threads, "rdzv_endpoint": rdzv_endpoint, "rdzv_id": rdzv_id, **recipe,
    }  # fmt: skip
    request = request_of(given)
    runner = choose_job_runner(in_process, pdb)
    output, notes = choose_output(progress, runner)
    with _interruption_raised():
        return _results(start(request, runner, output, described("run", given)), notes)


def resume(
    path: str | Path,
    *,
    timeout: float | None = None,
    memory_limit: float | None = None,
    threads: int | None = None,
    reporters: str | Sequence[str] | None = None,
    executor: str | None = None,
    set: Mapping[str, Any] | None = None,
    plugins: PluginSource | Sequence[PluginSource] | None = None,
    trust_plugins: bool = False,
    weights: str | Path | None = None,
    rdzv_endpoint: str | None = None,
    rdzv_id: str | None = None,
    progress: Progress = True,
    in_process: bool = False,
    pdb: bool = False,
) -> Results:
    """Continue an interrupted run and return its results; finished cells are not repeated.

    The plan is fixed; the arguments are those that do not belong to it. Raises the errors of `run`.

    Args:
        path: the run directory.
        timeout: seconds per cell; 0: no limit.
        memory_limit: GiB per cell.
        threads: number of torch threads.
        reporters: trackers to report to, in place of the planned ones.
        executor: where to go on, in place of the planned executor.
        set: options of the executor, as ``{"slurm.partition": "gpu"}``.
        plugins: plugin files in place of the recorded ones.
        trust_plugins: load the plugin files that the run directory names, whoever made it: their code runs.
        weights: path of the Inception weights.
        rdzv_endpoint: rendezvous endpoint for training on several machines.
        rdzv_id: rendezvous id.
        progress: whether to show progress on standard error; a function receives it line by line.
        in_process: run the cells in this process.
        pdb: start the debugger when a cell raises an exception; implies `in_process`.
    """
    changes = {
        "timeout": timeout, "memory_limit": memory_limit, "threads": threads, "reporters": reporters,
        "executor": executor, "set": request_of({"set": set}).set,
        "plugins": None if plugins is None else plugin_paths(plugins),
        "rdzv_endpoint": rdzv_endpoint,
        "rdzv_id": rdzv_id, "weights": None if weights is None else str(weights),
    }  # fmt: skip
    runner = choose_job_runner(in_process, pdb)
    output, notes = choose_output(progress, runner)
    with _interruption_raised():
        return _results(continue_run(str(path), runner, output, changes, trust_plugins), notes)


def start(request: Request, executor: JobRunner, output: Output, command: list[str] | None = None) -> Finished:
    """Plan a request and execute it; `command` is what made it, for readers.

    Raises `UsageError` for an invalid request, and `Interrupted`, or KeyboardInterrupt before there is a run directory.
    """
    with prepared(request, executor, output.notify) as ready:
        run, record = create_run(
            request, ready.plan, ready.reporters, ready.device, ready.facts, ready.chosen_executor, command
        )
        with hold(run.record_path), resumption_named(run):
            return execute(ready.executor, run, record, ready.catalogue, ready.device, output)


def continue_run(
    path: str, executor: JobRunner, output: Output, changes: Mapping[str, Any], trust_plugins: bool
) -> Finished:
    """Execute what is missing of a run; `changes` holds the flags that are not part of the plan, by name."""
    require_valid()
    require_unicode("--resume", path)
    allowed = Allowed([str(Path(file).resolve()) for file in changes["plugins"] or ()], trust_plugins)
    with (
        inception_weights(changes["weights"]),
        enter_planning_directory(RunDirectory.open_unpacked(path)) as run,
        hold(run.record_path),
        interrupt_on_signals(),
        resumption_named(run),
        executor as pool,
    ):
        before = run.record.executor
        if (changes.get("executor") or (LOCAL if before is None else before.name)) == LOCAL:
            pool.start()  # import torch while the plugins are loaded
        record, catalogue, device = reopen_run(run, dict(changes), allowed, output.notify)
        if record.executor is None or record.executor.name == LOCAL:
            require_present(pool, record.cells, device, record.rendezvous, chosen=True)
            require_limit_possible(changes.get("memory_limit"), device)
            if record.executor is not None:
                require_sharing(pool, record.cells, device, record.executor, record.threads)
        return execute(pool, run, record, catalogue, device, output)


def choose_output(progress: Progress, executor: JobRunner) -> tuple[Output, list[str]]:
    """Return where progress goes, and the list that takes notes and warnings."""
    notes: list[str] = []
    if callable(progress):
        display: Any = PlainDisplay(_LineStream(progress))
    elif not progress:
        display = SilentDisplay()
    else:
        display = PlainDisplay(sys.stderr) if executor.in_process else choose_display()

    def notify(text: str) -> None:
        notes.append(text.partition(": ")[2])
        display.message(text)

    return Output(display, notify), notes


def line_receiver(progress: Progress) -> Callable[[str], object]:
    """Return what receives lines of progress: the function itself, standard error, or nothing."""
    if callable(progress):
        return progress
    return PlainDisplay(sys.stderr).message if progress else lambda line: None


class _LineStream(io.StringIO):
    """A text stream that passes each line to a function."""

    def __init__(self, receive: Callable[[str], object]) -> None:
        self._receive = receive

    def write(self, text: str) -> int:
        """Pass a line on."""
        self._receive(text.removesuffix("\n"))
        return len(text)


@contextmanager
def _interruption_raised() -> Iterator[None]:
    try:
        yield
    except Interrupted as error:
        raise RunInterrupted(error.run.path) from None


def _results(finished: Finished, notes: Sequence[str]) -> Results:
    if finished.interruption is not None:
        raise finished.interruption
    return load(finished.run.path).with_warnings(notes)
