"""The search for a batch size that fits: it finds the largest halving, ends in time, and never raises."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from genbench.cell.batch_size_search import search_batch_size
from genbench.cell.failure import diagnose
from genbench.process.worker_channel import StopRequested


@pytest.fixture(autouse=True, scope="module")
def _frozen_again() -> Iterator[None]:
    """Hide from the garbage collector what was there before: the search makes it look at everything."""
    yield
    gc.freeze()


class Channel:
    """A channel to a supervisor that has asked to stop, or not."""

    def __init__(self, stop: bool = False) -> None:
        self.stop = stop

    def allow_stop(self) -> None:
        if self.stop:
            raise StopRequested

    def defer_stop(self) -> None:
        pass


def find(attempt: Callable[[int], None], failed: int, stop: bool = False, seconds: float = 60.0) -> str:
    return search_batch_size(attempt, failed, Channel(stop), seconds)  # type: ignore[arg-type]


def room_for(images: int, tried: list[int] | None = None) -> Callable[[int], None]:
    def attempt(batch_size: int) -> None:
        if tried is not None:
            tried.append(batch_size)
        if batch_size > images:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return attempt


@pytest.mark.parametrize(("room", "found"), [(16, 16), (31, 16), (32, 32), (1, 1)])
def test_the_largest_halving_that_fits_is_named(room: int, found: int) -> None:
    assert find(room_for(room), 64) == f"batch_size 64 does not fit; {found} does"


def test_larger_sizes_are_tried_first_and_each_once() -> None:
    tried: list[int] = []
    find(room_for(10, tried), 100)
    assert tried == [50, 25, 12, 6]


def test_if_nothing_fits_the_smallest_is_named() -> None:
    assert find(room_for(0), 64) == "batch_size 64 does not fit, nor does 1"


def test_an_attempt_that_fails_for_another_reason_gives_no_result() -> None:
    def attempt(batch_size: int) -> None:
        raise ValueError("batch norm needs more than one value")

    assert find(attempt, 64) == ""
    assert find(room_for(0), 1) == ""


def test_an_error_other_than_memory_ends_the_search_with_what_is_known() -> None:
    def attempt(batch_size: int) -> None:
        if batch_size < 16:
            raise ValueError("batch norm needs more than one value")
        raise MemoryError

    assert find(attempt, 64) == "batch_size 64 does not fit, nor does 16"


# The alarm may interrupt a callback of the garbage collector (Hypothesis has one), whose exceptions Python ignores.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_hanging_attempt_is_interrupted() -> None:
    def attempt(batch_size: int) -> None:
        if batch_size == 32:
            raise MemoryError
        while True:
            try:
                time.sleep(10)
            except Exception:
                continue

    gc.collect()
    begin = time.monotonic()
    assert find(attempt, 64, seconds=2.0) == "batch_size 64 does not fit, nor does 32"
    assert time.monotonic() - begin < 15


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_time_limit_also_holds_during_garbage_collection() -> None:
    class Slow:
        def __del__(self) -> None:
            time.sleep(2)

    def attempt(batch_size: int) -> None:
        if batch_size == 32:
            Slow()  # Python ignores exceptions raised in __del__
            raise MemoryError
        time.sleep(30)

    begin = time.monotonic()
    assert find(attempt, 64, seconds=1.5) == "batch_size 64 does not fit, nor does 32"
    assert time.monotonic() - begin < 15


def test_a_request_to_stop_ends_the_search() -> None:
    tried: list[int] = []
    assert find(room_for(10, tried), 64, stop=True) == ""
    assert tried == []


def test_memory_of_a_failed_attempt_is_freed_before_the_next() -> None:
    class Activations:
        alive = 0

        def __init__(self) -> None:
            Activations.alive += 1
            self.itself = self

        def __del__(self) -> None:
            Activations.alive -= 1

    seen = []

    def attempt(batch_size: int) -> None:
        seen.append(Activations.alive)
        held = Activations()
        gc.freeze()  # as training does
        raise MemoryError(held.alive)

    find(attempt, 8)
    assert seen == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("CUDA error: out of memory", "oom", "--batch-size"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "oom", "--batch-size"),
        ("CUDA error: unspecified launch failure\nCompile with", "failed", "(CUDA error: unspecified launch failure)"),
        ("CUDA error: an illegal memory access was encountered", "failed", "nvidia-smi"),
        ("No CUDA GPUs are available", "failed", "failed or was lost"),
        ("CUDA error: device-side assert triggered", "failed", "index is out of range"),
        ("shapes do not match", "failed", "RuntimeError: shapes do not match"),
    ],
)
def test_errors_of_a_gpu_become_a_status_and_a_reason(text: str, status: str, said: str) -> None:
    found = diagnose(RuntimeError(text))
    assert found[0] == status
    assert said in found[1]
