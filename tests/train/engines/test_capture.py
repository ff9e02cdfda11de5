"""Recovery from a failed capture, with a fake torch.cuda that behaves like the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from genbench.train.engines import capture
from genbench.train.engines.capture import CudaRecorder

GPU = torch.device("cuda", 0)


class Generator:
    """Refuses to draw during a capture, or after one that was never ended."""

    capturing = False


class Graph:
    """After an error inside, ending the capture fails too, and leaves the generators in capture mode."""

    def __init__(self) -> None:
        self.generators: list[Generator] = []
        self.replayed = self.resets = 0

    def register_generator_state(self, generator: Generator) -> None:
        self.generators.append(generator)

    def replay(self) -> None:
        self.replayed += 1

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Replace torch.cuda by a fake; return the graphs that are created."""
    made: list[Graph] = []

    def make() -> Graph:
        made.append(Graph())
        return made[-1]

    @contextmanager
    def capturing(graph: Graph, **_: Any) -> Iterator[None]:
        for generator in graph.generators:
            generator.capturing = True
        try:
            yield
        except Exception:
            raise RuntimeError("operation failed due to a previous error during capture") from None
        for generator in graph.generators:
            generator.capturing = False

    class Stream:
        def __init__(self, *_: object) -> None:
            self.waited: list[object] = []

        def wait_stream(self, other: object) -> None:
            self.waited.append(other)

    current = Stream()
    fakes: dict[str, Any] = {
        "CUDAGraph": make,
        "graph": capturing,
        "Stream": Stream,
        "current_stream": lambda *_: current,
        "stream": nullcontext,
        "graph_pool_handle": lambda: (0, len(made) + 1),
        "synchronize": lambda *_: None,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(capture, "_failed", [])
    return made


def failing(error: Exception) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def test_a_recorded_function_is_replayed(graphs: list[Graph]) -> None:
    calls: list[int] = []
    generator = Generator()
    replay = CudaRecorder(GPU).record(lambda: calls.append(1), [generator])  # type: ignore[list-item]
    replay()
    replay()
    assert calls == [1]
    assert graphs[0].replayed == 2
    assert graphs[0].generators == [generator]
    assert not generator.capturing


def test_the_error_inside_is_raised_and_not_the_following_one(graphs: list[Graph]) -> None:
    """Ending a failed capture raises an error of its own, which does not name the cause."""
    with pytest.raises(ValueError, match="the cause"):
        CudaRecorder(GPU).record(failing(ValueError("the cause")), [])


def test_generators_draw_again_after_a_failed_capture(graphs: list[Graph]) -> None:
    generator = Generator()
    with pytest.raises(ValueError, match="the cause"):
        CudaRecorder(GPU).record(failing(ValueError("the cause")), [generator])  # type: ignore[list-item]
    failed = graphs[0]
    assert failed.resets == 1
    assert capture._failed == [failed]  # kept alive, because the allocator may still query it
    # A successful capture needs a tensor on a GPU; without one, only the registration can be checked.
    assert [graph.generators for graph in graphs[1:]] in ([], [[generator]])


def test_warm_up_runs_on_the_stream_of_the_capture_in_order(graphs: list[Graph]) -> None:
    recorder = CudaRecorder(GPU)
    ran: list[int] = []
    recorder.warm_up(lambda: ran.append(1))
    current = torch.cuda.current_stream()
    assert ran == [1]
    assert recorder._stream.waited == [current]
    assert current.waited == [recorder._stream]
