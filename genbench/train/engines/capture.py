"""Capturing a step in a CUDA graph, and explaining why a step cannot be captured.

This follows torch's documentation ("CUDA semantics", section "CUDA Graphs"): warm-up and capture on the same side
stream, generators registered beforehand, and one memory pool for graphs that never run at the same time. Unlike with
torch's own wrapper, eager steps still work after a failed capture: generators and allocator are reset.
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

# Graphs whose capture failed are kept alive: torch's allocator may still query them about allocations.
_failed: list[torch.cuda.CUDAGraph] = []


class Recorder(Protocol):
    """Records the operations of a function on the device."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function under the conditions of the recording."""

    def record(self, function: Callable[[], None], generators: Sequence[torch.Generator]) -> Callable[[], None]:
        """Return a function that repeats the recorded operations on the same memory; Python code runs only now.

        Args:
            function: must not read tensors on the host.
            generators: the generators that it draws from, in addition to the global one.
        """


class CudaRecorder:
    """Records CUDA graphs, which are replayed one after the other on one stream.

    Args:
        device: a GPU.
        share: all graphs use one memory pool. A replay may then overwrite tensors of graphs that were recorded later;
            tensors of earlier graphs that are still referenced are safe.
    """

    def __init__(self, device: torch.device, share: bool = True) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle() if share else None

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function on the stream that will be captured: some libraries initialise per stream."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)

    def record(self, function: Callable[[], None], generators: Sequence[torch.Generator]) -> Callable[[], None]:
        """Capture the function; raise the exception of the function, or else that of the capture."""
        graph, pool = _graph(generators), self._pool or torch.cuda.graph_pool_handle()
        raised: list[Exception] = []

        def observed() -> None:
            try:
                function()
            except Exception as error:
                raised.append(error)
                raise

        try:
            # Other threads may keep using the GPU; by default that would make the capture fail.
            with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
                observed()
        except Exception as error:
            _recover(self._device, graph, pool, generators)
            cause = raised[0] if raised else error  # ending a failed capture raises another exception
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
    """Reset generators and allocator after a failed capture, so that eager steps work again.

    Generators refuse to draw, as if the capture were still running, until a capture that they are registered with has
    ended; and the allocator keeps the memory. Each call raises if there is nothing to reset, which is harmless.
    """
    _failed.append(graph)
    with suppress(Exception):
        torch.cuda.synchronize(device)
    with suppress(Exception):
        graph.reset()
    with suppress(Exception):
        index = torch.cuda.current_device() if device.index is None else device.index
        torch._C._cuda_endAllocateToPool(index, pool)  # raises if the capture has ended: then `reset` was enough
        torch._C._cuda_releasePool(index, pool)
    with suppress(Exception):
        number = torch.zeros((), device=device)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.graph(_graph(generators), stream=stream):
            number.add_(1)
        torch.cuda.synchronize(device)


class HostRandomness(Exception):
    """A step draws random numbers on the host, which every replay would repeat."""


@contextmanager
def no_host_randomness(device: torch.device) -> Iterator[None]:
    """Raise `HostRandomness` if random numbers are drawn on the host inside."""
    before = _host_states(device)
    yield
    drawn = [name for name, state in _host_states(device).items() if state != before[name]]
    if drawn:
        raise HostRandomness(
            f"the step draws random numbers from {' and '.join(drawn)}, which would be the same in every replay; "
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


def explain_failure(error: Exception, step: Callable[[], None], device: torch.device) -> str:
    """Return why a step could not be captured, and a remedy: a phrase without a full stop.

    Args:
        error: the exception of the capture.
        step: the step; it is run once more, eagerly, to find out what it reads on the host.
        device: the device of the step.
    """
    if isinstance(error, HostRandomness):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return (
            "out of memory while the step was captured: a graph reserves the memory of a whole step; "
            "use a smaller batch_size, or the engine eager"
        )
    message = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "generator" in message.lower() or "offset increment" in message.lower():
        return (
            f"the step draws random numbers from an unregistered generator{error_location(error)}: "
            f"{message.rstrip('.')}; draw them from the batch's generator, or from the global one"
        )
    reads = HostReads(device.type)
    with suppress(Exception), reads.watching():
        step()
    if reads.total:
        return (
            f"the step waits for the device: it reads a tensor on the host by {', '.join(map(str, reads.counts))}; "
            "keep values on the device, for example with torch.where"
        )
    cause = f"{type(error).__name__}: {message.rstrip('.')}"
    return f"the step cannot be captured{error_location(error)}: {cause}; use the engine eager"
