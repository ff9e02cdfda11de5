"""Steps that cannot be captured are refused with the reason and the cure; and what kinds of steps there are."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from graphed_engines import differing, engine_with, graphed, loss, way
from simulated_capture import SimulatedRecorder
from torch import Tensor, nn

from genbench.api.training import Batch
from genbench.train.engine import Engine, EngineUnavailable
from genbench.train.engines.graphed import WARM_UP, Graphed, kinds_of_steps
from genbench.train.state import load_state, read_state, state_kept


def reason(engine: Engine, **recorder: Any) -> str:
    before = read_state(engine).copy()
    with pytest.raises(EngineUnavailable) as refused, state_kept(engine):
        Graphed(engine, recorder=SimulatedRecorder(**recorder))
    after = read_state(engine)
    assert {name for name, tensor in before.tensors.items() if not torch.equal(tensor, after.tensors[name])} == set()
    engine.step()  # goes on eagerly
    assert all(p.grad is not None and p.requires_grad for p in engine.networks["layer"].parameters())
    return str(refused.value)


def test_a_step_that_reads_on_the_host_is_refused_and_the_line_is_named() -> None:
    def reading(layer: nn.Linear, batch: Batch) -> Tensor:
        value = loss(layer, batch)
        return value if value.item() > -1 else -value

    said = reason(engine_with(reading))
    assert "reads a tensor on the host by `.item()` at test_graphed_refusals.py:" in said
    assert "torch.where" in said


def test_a_step_whose_sizes_depend_on_values_is_refused() -> None:
    said = reason(engine_with(lambda layer, batch: layer(batch.images.flatten(1)[batch.images[:, 0, 0, 0] >= 0]).sum()))
    assert "selection by a mask" in said


def test_a_generator_that_nobody_knows_of_is_refused() -> None:
    own = torch.Generator()

    def drawing(layer: nn.Linear, batch: Batch) -> Tensor:
        return loss(layer, batch) * torch.rand((), generator=own)

    said = reason(engine_with(drawing))
    assert "a generator that nobody knows of (" in said
    assert "batch's generator" in said


@pytest.mark.parametrize("library", ["Python's random", "NumPy"])
def test_random_numbers_of_the_host_are_refused(library: str) -> None:
    def drawing(layer: nn.Linear, batch: Batch) -> Tensor:
        return loss(layer, batch) * (random.random() if library != "NumPy" else float(np.random.rand()))

    assert f"random numbers of {library}" in reason(engine_with(drawing))


def test_memory_that_runs_out_is_said_to_have_run_out() -> None:
    said = reason(engine_with(loss), memory=10)
    assert "out of memory while the step was captured" in said
    assert "batch_size" in said


def test_an_error_of_any_kind_is_passed_on_in_a_line() -> None:
    """The capture alone fails: the step is sound. Named is the innermost line of whoever wrote the step."""

    class Failing(SimulatedRecorder):
        def record(self, function: Any, generators: Any) -> Any:
            raise RuntimeError("no such luck\nand more")

    engine = engine_with(loss)
    with pytest.raises(
        EngineUnavailable,
        match=r"^the step cannot be captured \(test_graphed_refusals.py, line \d+\): RuntimeError: no such luck;",
    ):
        with state_kept(engine):
            Graphed(engine, recorder=Failing())


def test_phases_that_hardly_ever_meet_are_refused() -> None:
    with pytest.raises(EngineUnavailable, match="99,999,999th step"):
        kinds_of_steps(engine_with(loss, every=(9999, 10001)).players)


def test_each_kind_of_step_is_captured_once() -> None:
    engine = engine_with(loss, every=(2, 4, 3))
    recorder = graphed(engine)
    kinds = {tuple(number % interval == 0 for interval in (2, 4, 3)) for number in range(12)}
    assert len(recorder.calls) == len(kinds) == 6
    twin = engine_with(loss, every=(2, 4, 3))
    load_state(twin, read_state(engine).copy())
    assert differing(way(engine, 13), way(twin, 13)) == set()


def test_a_step_that_depends_on_python_shows() -> None:
    """The simulation has teeth: what the host counts inside a step is the same in every replay."""
    count = [0]

    def counting(layer: nn.Linear, batch: Batch) -> Tensor:
        count[0] += 1
        return loss(layer, batch) * count[0]

    engine = engine_with(counting)
    graphed(engine)
    assert count[0] == WARM_UP + 1
    way(engine, 3)
    assert count[0] == WARM_UP + 1


def test_the_inner_execution_is_what_is_captured_and_closed() -> None:
    class Doubling:
        """Executes each step twice."""

        name = "doubling"
        notes = ("a note",)
        closed = False

        def run(self, engine: Engine, due: Any) -> None:
            engine.run_phases(due)
            for player in due:
                player.totals.append(player.totals[-1] * 0 + 2)

        def close(self) -> None:
            self.closed = True

    engine, inner = engine_with(loss), Doubling()
    with state_kept(engine):
        execution = Graphed(engine, inner, SimulatedRecorder())
    engine.execution = execution
    engine.step()
    assert execution.name == "graph+doubling"
    assert execution.notes == ("a note",)
    assert engine.read_terms()["phase0"].tolist()[1] == 2
    execution.close()
    assert inner.closed


def test_another_precision_than_the_captured_one_is_run_and_not_replayed() -> None:
    engine = engine_with(loss)
    graphed(engine)
    twin = copy.deepcopy(engine.networks["layer"])
    engine.precision = "bf16"
    with state_kept(engine):
        engine.step()
        rounded = engine.read_terms()["phase0"]
    engine.precision = "fp32"
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), engine.networks["layer"].parameters(), strict=True))
    engine.step()
    assert not torch.equal(engine.read_terms()["phase0"], rounded)
