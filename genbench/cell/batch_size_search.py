"""The search, after a step ran out of memory, for a batch size that fits: half of it, a quarter, and so on."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import torch

from genbench.api.recipe import resolve_recipe
from genbench.cell.memory_limits import is_out_of_memory
from genbench.data.loading import LoadedData
from genbench.measure.accelerator import free_memory
from genbench.measure.clock import synchronise
from genbench.plugins.catalogue import Catalogue
from genbench.process.messages import Finished
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import CellIdentity, CellResult
from genbench.system.signals import called_after
from genbench.train.builder import build_cell
from genbench.train.memory_format import use_memory_format
from genbench.train.torch_setup import step_settings

MAX_SECONDS = 20.0  # of the search


class _TimeIsUp(BaseException):
    """The search reached its time limit; not an Exception, so that no plugin can catch it."""


def suggest_batch(result: CellResult, attempt: Callable[[int], None], channel: WorkerChannel) -> CellResult:
    """Return the result of a cell that ran out of memory, with a batch size that fits added to its reason, if found."""
    # The process has run out of memory and may die: report the result before trying anything else.
    channel.say(Finished(cell=result))
    found = search_batch_size(attempt, resolve_recipe(result.identity.recipe).batch_size, channel)
    return msgspec.structs.replace(result, reason=f"{result.reason}: {found}") if found else result


def search_batch_size(
    attempt: Callable[[int], None], failed: int, channel: WorkerChannel, seconds: float = MAX_SECONDS
) -> str:
    """Return which batch size does not fit and which does, in words; empty if that could not be determined.

    Never raises: a request to stop also ends the search.

    Args:
        attempt: trains briefly with the given batch size; may raise anything.
        failed: the batch size that ran out of memory.
        channel: the channel on which a request to stop arrives.
        seconds: time limit; the operation running at that moment is completed first.
    """
    size = failed
    try:
        with _time_limit(seconds):
            channel.allow_stop()
            while size > 1:
                _free_memory()
                error = _error_of(attempt, size // 2)
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


def _error_of(attempt: Callable[[int], None], batch_size: int) -> Exception | None:
    try:
        attempt(batch_size)
    except Exception as error:
        return error.with_traceback(None)  # its frames would keep tensors alive
    return None


def train_briefly(
    identity: CellIdentity,
    catalogue: Catalogue,
    data: LoadedData,
    device: torch.device,
    memory_format: torch.memory_format,
    batch_size: int,
) -> None:
    """Take two steps with every phase: after the first, the optimisers have allocated all their state."""
    recipe = {**identity.recipe, "batch_size": batch_size}
    with contextlib.ExitStack() as stack:
        stack.enter_context(step_settings(str(recipe["precision"])))
        engine = build_cell(msgspec.structs.replace(identity, recipe=recipe), catalogue, data, device).engine
        stack.callback(engine.data.close)
        use_memory_format(engine, memory_format)
        for _ in range(2):
            engine.step_number = 0
            engine.step()
            synchronise(device)


def _free_memory() -> None:
    """Free the memory of failed attempts."""
    gc.unfreeze()
    free_memory()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `_TimeIsUp` inside after that time; only the main thread can be interrupted."""

    def expire() -> None:
        raise _TimeIsUp

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with called_after(seconds, expire):  # repeatedly: Python ignores an exception raised during garbage collection
        yield
