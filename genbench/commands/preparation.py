"""What happens before the cells of a request are executed or estimated: plan, plugins, device, worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from genbench.builtin.extractors.inception_weights import at_hand as inception_at_hand
from genbench.commands.device import make_rendezvous, parse_device, require_device, require_processes, resolve_auto
from genbench.commands.weights import inception_weights
from genbench.errors import UsageError
from genbench.planning.planner import Plan, Planner, make_plan
from genbench.planning.reporters import choose_reporters
from genbench.planning.request import Request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.environment_variables import require_valid
from genbench.results.schema import Choice
from genbench.runner.executor import Executor
from genbench.runner.supervisor import interrupt_on_signals


class Prepared(NamedTuple):
    """A plan that can be executed, and what executes it."""

    executor: Executor
    catalogue: Catalogue
    plan: Plan
    reporters: list[Choice]
    device: str
    facts: dict[str, object]  # what torch reports about its devices

    def planner(self, request: Request) -> Planner:
        """Return what plans another request for the same machine."""
        return Planner(request, self.catalogue, self.device.partition(":")[0], inception_at_hand())


@contextmanager
def prepared(request: Request, executor: Executor, notify: Callable[[str], object]) -> Iterator[Prepared]:
    """Plan a request and start what executes it, until the block ends.

    Raises `UsageError` for an invalid request, or one that this machine cannot execute.
    """
    require_valid()
    device = resolve_auto(parse_device(request.device))
    require_unicode("--out", request.out or "")
    with inception_weights(request.weights), interrupt_on_signals(), executor as pool:
        pool.start()  # import torch while the plan is made
        catalogue = discover(request.plugins)
        plan = make_plan(request, catalogue, device.partition(":")[0], inception_at_hand())
        reporters = choose_reporters(request.reporters, request.set, catalogue)
        for warning in plan.warnings:
            notify(f"Note: {warning}")
        facts = require_device(pool, plan.cells, device, chosen=request.device != "auto")
        require_processes(plan.cells, device, facts, make_rendezvous(request))
        pool.require_executable(plan.cells)
        yield Prepared(pool, catalogue, plan, reporters, device, facts)


def choose_executor(in_process: bool, debugger: bool = False) -> Executor:
    """Return where the cells run: in worker processes, or in this one."""
    if in_process or debugger:
        from genbench.runner.in_process import InProcessExecutor

        return InProcessExecutor(debugger)
    from genbench.runner.pool import WorkerPool

    return WorkerPool()


def require_unicode(flag: str, path: str) -> None:
    """Raise `UsageError` for a path that cannot be written into messages and results, which are UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="backslashreplace").decode()
        raise UsageError(f"{flag} {shown} is not valid UTF-8.", "Choose another name, or rename the folder.") from None
