"""What happens before the cells of a request are executed or estimated: plan, plugins, device, worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from genbench.builtin.extractors.inception_weights import at_hand as inception_at_hand
from genbench.commands.device import make_rendezvous, parse_device, require_device, require_processes, resolve_auto
from genbench.commands.weights import inception_weights
from genbench.errors import UsageError
from genbench.planning.executor_choice import LOCAL, choose_executor
from genbench.planning.planner import Plan, Planner, make_plan
from genbench.planning.reporters import choose_reporters
from genbench.planning.request import Request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.environment_variables import require_valid
from genbench.results.schema import Choice, PlannedCell, Rendezvous
from genbench.runner.job_runner import JobRunner
from genbench.runner.local_executor import Sharing
from genbench.runner.supervisor import interrupt_on_signals
from genbench.system.means import uses_linux


class Prepared(NamedTuple):
    """A plan that can be executed, and what executes it."""

    executor: JobRunner
    catalogue: Catalogue
    plan: Plan
    reporters: list[Choice]
    chosen_executor: Choice
    device: str
    facts: dict[str, object]  # what torch reports about its devices

    def planner(self, request: Request) -> Planner:
        """Return what plans another request for the same machine."""
        return Planner(request, self.catalogue, self.device.partition(":")[0], inception_at_hand())


@contextmanager
def prepared(request: Request, executor: JobRunner, notify: Callable[[str], object]) -> Iterator[Prepared]:
    """Plan a request and start what executes it, until the block ends.

    Raises `UsageError` for an invalid request, or one that this machine cannot execute.
    """
    require_valid()
    device = resolve_auto(parse_device(request.device))
    require_unicode("--out", request.out or "")
    here = request.executor == LOCAL
    with inception_weights(request.weights), interrupt_on_signals(), executor as pool:
        if here:
            pool.start()  # import torch while the plan is made
        catalogue = discover(request.plugins)
        plan = make_plan(request, catalogue, device.partition(":")[0], inception_at_hand())
        reporters = choose_reporters(request.reporters, request.set, catalogue)
        chosen = choose_executor(request.executor, request.set, catalogue)
        for warning in plan.warnings:
            notify(f"Note: {warning}")
        facts: dict[str, object] = {}
        if not here:
            require_elsewhere_possible(request, executor)
        else:
            meeting = make_rendezvous(request)
            facts = require_present(pool, plan.cells, device, meeting, chosen=request.device != "auto")
            require_sharing(pool, plan.cells, device, chosen, request.threads)
            require_limit_possible(request.memory_limit, device)
        yield Prepared(pool, catalogue, plan, reporters, chosen, device, facts)


def require_limit_possible(memory_limit: float | None, device: str) -> None:
    """Raise `UsageError` for a memory limit that this system cannot impose; on a GPU, torch does."""
    if memory_limit and device == "cpu" and not uses_linux():
        raise UsageError("Only Linux can limit the memory of a cell on the CPU.", "Remove --memory-limit.")


def require_present(
    runner: JobRunner, cells: Sequence[PlannedCell], device: str, rendezvous: Rendezvous | None, chosen: bool
) -> dict[str, object]:
    """Return what torch reports about its devices; raise `UsageError` if this machine cannot execute these cells."""
    facts = require_device(runner, cells, device, chosen)
    require_processes(cells, device, facts, rendezvous)
    runner.require_executable(cells)
    return facts


def require_sharing(
    runner: JobRunner, cells: Sequence[PlannedCell], device: str, executor: Choice, threads: int | None
) -> None:
    """Raise `UsageError` if this machine cannot execute these cells side by side, as the executor `local` is to."""
    sharing = Sharing(**executor.options)  # type: ignore[arg-type]
    for other in sharing.devices:
        if other != device:
            require_device(runner, (), parse_device(other), chosen=True)
    sharing.require_possible(cells, device, threads, runner.in_process)


def require_elsewhere_possible(request: Request, runner: JobRunner) -> None:
    """Raise `UsageError` for a request that makes sense only on this machine."""
    where = f"--executor {request.executor}"
    if request.device == "auto":
        raise UsageError(
            f"{where} needs a --device: the devices of this machine say nothing about the nodes.",
            "Add --device cuda or --device cpu.",
            code="GB901",
        )
    if runner.in_process:
        raise UsageError(
            f"--in-process and --pdb run the cells in this process, {where} elsewhere.",
            "Remove one of them.",
            code="GB901",
        )
    if request.rdzv_endpoint is not None or (request.recipe.get("nnodes") or 1) != 1:
        raise UsageError(f"{where} executes a cell on one node.", "Remove --nnodes and --rdzv-endpoint.", code="GB901")


def time_limit(plan: Plan, request: Request) -> float | None:
    """Return the time limit of a cell in seconds: the chosen one, or that of the profile; None: none."""
    return (plan.profile.timeout if request.timeout is None else request.timeout) or None


def choose_job_runner(in_process: bool, debugger: bool = False) -> JobRunner:
    """Return where the cells run: in worker processes, or in this one."""
    if in_process or debugger:
        from genbench.runner.in_process import InProcessRunner

        return InProcessRunner(debugger)
    from genbench.runner.pool import WorkerPool

    return WorkerPool()


def require_unicode(flag: str, path: str) -> None:
    """Raise `UsageError` for a path that cannot be written into messages and results, which are UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="backslashreplace").decode()
        raise UsageError(f"{flag} {shown} is not valid UTF-8.", "Choose another name, or rename the folder.") from None
