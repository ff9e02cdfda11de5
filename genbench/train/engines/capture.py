"""Capturing a step in a CUDA graph, and saying why one cannot be captured.

What follows torch's documentation, "CUDA Graphs" in its CUDA semantics: warm-up on a side stream and capture on that
same stream, generators registered before, one pool of memory for graphs that never run at the same time. Unlike
torch's own wrapper, a capture that fails leaves generators and allocator as eager steps need them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np
import torch

from genbench.measure.host_reads import HostReads
from genbench.measure.user_frame import error_location

# Graphs whose capture failed: torch's allocator may go on asking them whether an allocation is theirs.
_failed: list[torch.cuda.CUDAGraph] = []


class Recorder(Protocol):
    """Takes down what a function does on the device."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function as it will be recorded."""

    def record(self, function: Callable[[], None], generators: Sequence[torch.Generator]) -> Callable[[], None]:
        """Return what does on the device, on the same memory, what the function does; its Python runs only now.

        Args:
            function: reads nothing on the host.
            generators: those that it draws from, beside the global one.
        """


class CudaRecorder:
    """Records in CUDA graphs, to be replayed one after the other on one stream.

    Args:
        device: a GPU.
        share: all graphs take their memory from one pool. A replay then overwrites what graphs that were recorded
            later hold; only what an earlier one holds, and is referred to, stays as it is.
    """

    def __init__(self, device: torch.device, share: bool = True) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle() if share else None

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function on the stream that will be captured: libraries set themselves up for each stream."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)

    def record(self, function: Callable[[], None], generators: Sequence[torch.Generator]) -> Callable[[], None]:
        """Capture the function; raises what it raised, or what torch says of the capture."""
        graph, pool = _graph(generators), self._pool or torch.cuda.graph_pool_handle()
        raised: list[Exception] = []

        def observed() -> None:
            try:
                function()
            except Exception as error:
                raised.append(error)
                raise

        try:
            # Other threads may go on with what is theirs; by default the capture would fail of it.
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                observed()
        except Exception as error:
            _recover(self._device, graph, pool, generators)
            cause = raised[0] if raised else error  # to end a capture that failed raises once more
            raise cause from None
        return graph.replay


def _graph(generators: Sequence[torch.Generator]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    return graph


def _recover(
    device: torch.device, graph: torch.cuda.CUDAGraph, pool: tuple[int, int], generators: Sequence[torch.Generator]
) -> None:
    """Leave generators and allocator as eager steps need them, where torch could not end a capture in good order.

    Generators take the capture to be under way, and refuse to draw, until one that they are registered with has ended;
    and the allocator keeps the memory. What is in good order already refuses to be mended, which is no harm.
    """
    _failed.append(graph)
    with suppress(Exception):
        torch.cuda.synchronize(device)
    with suppress(Exception):
        graph.reset()
    with suppress(Exception):
        index = torch.cuda.current_device() if device.index is None else device.index
        torch._C._cuda_endAllocateToPool(index, pool)  # raises where the capture has ended: `reset` did the rest
        torch._C._cuda_releasePool(index, pool)
    with suppress(Exception):
        number = torch.zeros((), device=device)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.graph(_graph(generators), stream=stream):
            number.add_(1)
        torch.cuda.synchronize(device)


class HostRandomness(Exception):
    """A step draws random numbers that a replay would repeat."""


@contextmanager
def no_randomness_of_the_host(device: torch.device) -> Iterator[None]:
    """Raise `HostRandomness` where what happens inside draws random numbers on the host."""
    before = _host_states(device)
    yield
    drawn = [name for name, state in _host_states(device).items() if state != before[name]]
    if drawn:
        raise HostRandomness(
            f"the step draws random numbers of {' and '.join(drawn)}, which would be the same in each replay; "
            "draw them on the device, from the batch's generator"
        )


def _host_states(device: torch.device) -> dict[str, object]:
    _, keys, position, has_gauss, gauss = np.random.get_state()
    states: dict[str, object] = {
        "Python's random": random.getstate(),
        "NumPy": (np.asarray(keys).tobytes(), position, has_gauss, gauss),
    }
    if device.type != "cpu":
        states["torch on the host"] = torch.get_rng_state().numpy().tobytes()
    return states


def why_not_captured(error: Exception, step: Callable[[], None], device: torch.device) -> str:
    """Return why a step could not be captured, and what helps: a phrase without a full stop.

    Args:
        error: what capturing it raised.
        step: the step, which is run once more, eagerly, to see what it reads on the host.
        device: where it runs.
    """
    if isinstance(error, HostRandomness):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return (
            "out of memory while the step was captured: a graph keeps the memory of a whole step to itself; "
            "use a smaller batch_size, or the engine eager"
        )
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    place = error_location(error)
    if "generator" in said.lower() or "offset increment" in said.lower():
        return (
            f"the step draws random numbers from a generator that nobody knows of{place}: {said.rstrip('.')}; "
            "draw them from the batch's generator, or from the global one"
        )
    reads = HostReads(device.type)
    with suppress(Exception), reads.watching():
        step()
    if reads.total:
        return (
            f"the step waits for the device: it reads a tensor on the host by {', '.join(map(str, reads.counts))}; "
            "keep values on the device, for example by torch.where"
        )
    return f"the step cannot be captured{place}: {type(error).__name__}: {said.rstrip('.')}; use the engine eager"
