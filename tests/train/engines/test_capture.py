"""What becomes of a capture that fails, by a stand-in for torch.cuda that behaves as torch is known to."""

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
    """Refuses to draw while a capture is under way, or was never ended."""

    capturing = False


class Graph:
    """One that fails when it is ended after an error inside, and then leaves its generators as they are."""

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
    """Put a stand-in in the place of torch.cuda; return the graphs that are made."""
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
    stand_ins: dict[str, Any] = {
        "CUDAGraph": make,
        "graph": capturing,
        "Stream": Stream,
        "current_stream": lambda *_: current,
        "stream": nullcontext,
        "graph_pool_handle": lambda: (0, len(made) + 1),
        "synchronize": lambda *_: None,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(capture, "_failed", [])
    return made


def failing(error: Exception) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


def test_what_is_recorded_is_replayed(graphs: list[Graph]) -> None:
    calls: list[int] = []
    generator = Generator()
    replay = CudaRecorder(GPU).record(lambda: calls.append(1), [generator])  # type: ignore[list-item]
    replay()
    replay()
    assert calls == [1]
    assert graphs[0].replayed == 2
    assert graphs[0].generators == [generator]
    assert not generator.capturing


def test_the_error_inside_is_raised_and_not_the_one_that_follows(graphs: list[Graph]) -> None:
    """To end a capture that failed raises an error of its own, which names nothing."""
    with pytest.raises(ValueError, match="the cause"):
        CudaRecorder(GPU).record(failing(ValueError("the cause")), [])


def test_generators_draw_again_after_a_capture_that_failed(graphs: list[Graph]) -> None:
    generator = Generator()
    with pytest.raises(ValueError, match="the cause"):
        CudaRecorder(GPU).record(failing(ValueError("the cause")), [generator])  # type: ignore[list-item]
    failed = graphs[0]
    assert failed.resets == 1
    assert capture._failed == [failed]  # the allocator may go on asking it
    # A capture that ends well needs a tensor on the GPU, which there is not: the registration is what can be seen here.
    assert [graph.generators for graph in graphs[1:]] in ([], [[generator]])


def test_warming_up_runs_on_the_stream_that_is_captured_in_order(graphs: list[Graph]) -> None:
    recorder = CudaRecorder(GPU)
    ran: list[int] = []
    recorder.warm_up(lambda: ran.append(1))
    current = torch.cuda.current_stream()
    assert ran == [1]
    assert recorder._stream.waited == [current]
    assert current.waited == [recorder._stream]
