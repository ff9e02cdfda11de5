"""Opening the executor of a run, and asking one what it can provide without a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from genbench.api.jobs import ExecutorSetup, Resources
from genbench.plugins.loader import Plugin
from genbench.results.schema import Choice, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.executor_process import Call, ExecutorProcess, call_seconds
from genbench.runner.job_runner import JobRunner
from genbench.runner.local_executor import LocalExecutor, Sharing
from genbench.runner.plugin_executor import PluginExecutor, give_up_jobs


def open_executor(
    choice: Choice,
    plugin: Plugin,
    runner: JobRunner,
    run: RunDirectory,
    record: RunRecord,
    device: str,
    warn: Callable[[str], None],
) -> LocalExecutor | PluginExecutor:
    """Return the chosen executor, which is to be closed after use; `runner` executes jobs on this machine.

    Raises `UsageError` if it is unavailable, and `ExecutorFailed`.
    """
    if plugin.origin == "builtin":
        given_up = give_up_jobs(run)
        if given_up:
            warn(f"{given_up} jobs of another executor are given up: those that still run end by themselves")
        return LocalExecutor(runner, run.path, device, Sharing(**choice.options), record.threads)  # type: ignore[arg-type]
    setup = ExecutorSetup(run=run.path.resolve(), cells=len(record.cells), call_seconds=call_seconds())
    return PluginExecutor(ExecutorProcess(choice.name, choice.options, plugin, setup), run, warn)


def problems_elsewhere(choice: Choice, plugin: Plugin, needs_of: Callable[[bool], Sequence[Resources]]) -> list[str]:
    """Return for each need why the engine can never meet it, or an empty string; nothing is submitted.

    `needs_of(limits_time)` returns the needs, with estimated times if the engine limits those.

    Raises `UsageError` if the executor of a plugin is unavailable, and `ExecutorFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="genbench-check-") as place:
        setup = ExecutorSetup(run=Path(place).resolve(), cells=1, call_seconds=call_seconds())
        process = ExecutorProcess(choice.name, choice.options, plugin, setup)
        try:
            needs = needs_of(process.limits.limits_time)
            kinds = [*dict.fromkeys(needs)]
            problems = dict(zip(kinds, process.call(Call(method="check", needs=kinds)).names, strict=True))
            return [problems[need] for need in needs]
        finally:
            process.close()
