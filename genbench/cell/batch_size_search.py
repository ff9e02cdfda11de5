"""After a step that found no memory: the largest halving of its batch for which there is some."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import msgspec
import torch

from genbench.api.recipe import resolve_recipe
from genbench.cell.memory_limits import is_out_of_memory
from genbench.data.loading import LoadedData
from genbench.measure.clock import synchronise
from genbench.plugins.catalogue import Catalogue
from genbench.process.messages import Finished
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import CellIdentity, CellResult
from genbench.train.builder import build_cell

LONGEST = 20.0  # seconds that the search may take


class _TimeIsUp(BaseException):
    """The search has taken long enough; not an Exception, so that no plugin swallows it."""


def suggest_batch(result: CellResult, attempt: Callable[[int], None], channel: WorkerChannel) -> CellResult:
    """Return the result of a cell without enough memory, with a batch in its reason that fits, where one is found."""
    # In a process that has run out of memory nothing is certain: what is known is told before more is tried.
    channel.say(Finished(cell=result))
    found = search(attempt, resolve_recipe(result.identity.recipe).batch_size, channel)
    return msgspec.structs.replace(result, reason=f"{result.reason}: {found}") if found else result


def search(attempt: Callable[[int], None], failed: int, channel: WorkerChannel, seconds: float = LONGEST) -> str:
    """Return which batch does not fit and which does, in words; empty where that could not be found out.

    Never raises: a request to stop ends the search too.

    Args:
        attempt: trains for a moment with a batch of that size; raises what it raises.
        failed: the size for which memory did not suffice.
        channel: knows whether somebody asks to stop.
        seconds: after which the search ends, once the operation that is running then has.
    """
    size = failed
    try:
        with _at_most(seconds):
            channel.allow_stop()
            while size > 1:
                _let_go()
                error = _outcome(attempt, size // 2)
                if error is None:
                    return f"batch_size {failed} does not fit; {size // 2} does"
                if not is_out_of_memory(error):
                    break
                size //= 2
    except (_TimeIsUp, StopRequested):
        pass
    finally:
        channel.defer_stop()
    return f"batch_size {failed} does not fit, nor does {size}" if size < failed else ""


def _outcome(attempt: Callable[[int], None], batch_size: int) -> Exception | None:
    try:
        attempt(batch_size)
    except Exception as error:
        return error.with_traceback(None)  # whose frames hold what is to be given back
    return None


def train_briefly(
    identity: CellIdentity, catalogue: Catalogue, data: LoadedData, device: torch.device, batch_size: int
) -> None:
    """Take two steps with every phase: optimisers hold all that they ever do after the first."""
    recipe = {**identity.recipe, "batch_size": batch_size}
    engine = build_cell(msgspec.structs.replace(identity, recipe=recipe), catalogue, data, device).engine
    try:
        for _ in range(2):
            engine.step_number = 0
            engine.step()
            synchronise(device)
    finally:
        engine.data.close()


def _let_go() -> None:
    """Give back the memory of what failed before."""
    gc.unfreeze()
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise `_TimeIsUp` inside once the time is up; only a main thread can be interrupted."""
    going = True

    def too_late(number: int, frame: FrameType | None) -> None:
        if going:
            raise _TimeIsUp

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, too_late)
    # Again each second: where it is raised while something is collected, Python drops it.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        going = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
