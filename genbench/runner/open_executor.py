"""Opening the executor of a run."""

from __future__ import annotations

from collections.abc import Callable

from genbench.api.jobs import ExecutorSetup
from genbench.plugins.loader import Plugin
from genbench.results.schema import Choice, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.executor_process import ExecutorProcess
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
    setup = ExecutorSetup(run=run.path.resolve(), cells=len(record.cells))
    return PluginExecutor(ExecutorProcess(choice.name, choice.options, plugin, setup), run, warn)
