"""What a replayed step launches beside the graph: as little as possible, because a launch costs as much as a replay."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from graphed_engines import engine_of, engine_with, graphed, loss
from simulated_capture import SimulatedRecorder, capturable_on_cpu, one_thread
from torch import Tensor

from genbench.measure.op_listener import OpListener
from genbench.plugins.catalogue import Catalogue, discover
from genbench.train.engine import Engine
from genbench.train.engines import graphed as graphed_module
from genbench.train.engines.graphed import Graphed
from genbench.train.state import state_kept

__all__ = ["capturable_on_cpu", "one_thread"]  # fixtures
VIEWS = ("detach", "unbind", "select", "slice", "view", "alias")  # which launch nothing


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def launched(engine: Engine, steps: int) -> Counter[str]:
    """Return the operators that steps execute outside the graph."""
    execution = engine.execution
    assert isinstance(execution, Graphed)
    found: Counter[str] = Counter()
    inside = False

    def unheard(replay: Callable[[], None]) -> Callable[[], None]:
        def replayed() -> None:
            nonlocal inside
            inside = True
            replay()
            inside = False

        return replayed

    def listen(func: Any, *_: Any) -> None:
        name = func.overloadpacket.__name__
        if not inside and name not in VIEWS:
            found[name] += 1

    for key, captured in execution._captured.items():
        execution._captured[key] = dataclasses.replace(captured, replay=unheard(captured.replay))
    with OpListener(listen):
        for _ in range(steps):
            engine.step()
    return found


@pytest.mark.parametrize("model", ["dcgan", "vae"])
def test_a_replayed_step_launches_the_graph_alone(catalogue: Catalogue, model: str) -> None:
    engine = engine_of(catalogue, model)
    graphed(engine)
    engine.step()
    assert launched(engine, 3) == {}


def test_averaged_weights_take_one_launch_for_parameters_and_one_for_the_buffers_of_each_type(
    catalogue: Catalogue,
) -> None:
    engine = engine_of(catalogue, "dcgan", ema_half_life=100.0)
    graphed(engine)
    engine.step()
    assert engine.average is not None
    assert sum(len(list(network.buffers())) for network in engine.average.networks.values()) > 4
    assert launched(engine, 3) == {"_foreach_lerp_": 3, "_foreach_copy_": 6}


def test_the_progress_is_written_only_for_steps_that_read_it(catalogue: Catalogue) -> None:
    def annealed(layer: Any, batch: Any) -> Tensor:
        return loss(layer, batch) * (1 - batch.progress)

    engine = engine_with(annealed)
    graphed(engine)
    engine.step()
    assert launched(engine, 3) == {"fill_": 3}
    assert engine.execution.uses_progress


def pair(every: tuple[int, ...] = (1,)) -> tuple[Engine, Engine]:
    """Return two engines with the same weights."""
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(engine_with(loss, every))
    return made[0], made[1]


def test_losses_are_delivered_in_order_however_many_steps_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """More steps than rows, steps of two kinds, and eager steps in between; twice."""
    monkeypatch.setattr(graphed_module, "ROWS", 4)
    expected, engine = pair(every=(1, 3))
    graphed(engine)
    for _ in range(2):
        for number in range(11):
            for each in (expected, engine):
                each.precision = "bf16" if number == 6 else "fp32"  # the graph was captured in another precision
                each.step()
        one, other = expected.read_terms(), engine.read_terms()
        assert one.keys() == other.keys() and len(one["phase0"]) == 11
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_losses_are_not_lost_when_the_execution_changes() -> None:
    expected, engine = pair()
    graphed(engine)
    for each in (expected, engine):
        each.step(), each.step()
    engine.execution.close()
    engine.execution = expected.execution
    for each in (expected, engine):
        each.step()
    assert torch.equal(engine.read_terms()["phase0"], expected.read_terms()["phase0"])


def test_nothing_is_executed_for_the_first_time_inside_the_capture(catalogue: Catalogue) -> None:
    """A GPU loads a kernel when it is first used, which a capture may not survive."""
    heard: dict[str, set[str]] = {"warm-up": set(), "capture": set()}

    class Recorder(SimulatedRecorder):
        def warm_up(self, function: Callable[[], None]) -> None:
            with OpListener(lambda func, *_: heard["warm-up"].add(str(func))):
                super().warm_up(function)

        def record(self, function: Callable[[], None], generators: Any) -> Callable[[], None]:
            with OpListener(lambda func, *_: heard["capture"].add(str(func))):
                return super().record(function, generators)

    engine = engine_of(catalogue, "dcgan", ema_half_life=100.0)
    with state_kept(engine):
        Graphed(engine, recorder=Recorder(share=True))
    assert "aten.index_copy_.default" in heard["capture"]
    # The simulation holds on to all tensors, so that gradients are copied into parameters instead of handed over.
    copies = {"aten.copy_.default", "aten.new_empty_strided.default"}
    assert heard["capture"] - heard["warm-up"] <= copies
