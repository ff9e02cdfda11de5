"""Steps that cannot be captured are rejected with a reason and a remedy; and the kinds of steps."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from graphed_engines import differing, engine_with, graphed, loss, run_steps
from simulated_capture import SimulatedRecorder
from torch import Tensor, nn

from genbench.api.training import Batch
from genbench.train.engine import Engine, EngineUnavailable, Execution
from genbench.train.engines.graphed import WARM_UP, Graphed, due_players
from genbench.train.state import load_state, read_state, state_kept


def reason(engine: Engine, **recorder: Any) -> str:
    before = read_state(engine).copy()
    with pytest.raises(EngineUnavailable) as rejected, state_kept(engine):
        Graphed(engine, recorder=SimulatedRecorder(**recorder))
    after = read_state(engine)
    assert {name for name, tensor in before.tensors.items() if not torch.equal(tensor, after.tensors[name])} == set()
    engine.step()  # eager training continues
    assert all(p.grad is not None and p.requires_grad for p in engine.networks["layer"].parameters())
    return str(rejected.value)


def test_a_step_that_reads_on_the_host_is_rejected_with_the_line() -> None:
    def reading(layer: nn.Linear, batch: Batch) -> Tensor:
        value = loss(layer, batch)
        return value if value.item() > -1 else -value

    message = reason(engine_with(reading))
    assert "reads a tensor on the host by `.item()` at test_graphed_refusals.py:" in message
    assert "torch.where" in message


def test_a_step_with_sizes_that_depend_on_values_is_rejected() -> None:
    message = reason(
        engine_with(lambda layer, batch: layer(batch.images.flatten(1)[batch.images[:, 0, 0, 0] >= 0]).sum())
    )
    assert "selection by a mask" in message


def test_an_unregistered_generator_is_rejected() -> None:
    own = torch.Generator()

    def drawing(layer: nn.Linear, batch: Batch) -> Tensor:
        return loss(layer, batch) * torch.rand((), generator=own)

    message = reason(engine_with(drawing))
    assert "an unregistered generator (" in message
    assert "batch's generator" in message


@pytest.mark.parametrize("library", ["Python's random", "NumPy"])
def test_random_numbers_of_the_host_are_rejected(library: str) -> None:
    def drawing(layer: nn.Linear, batch: Batch) -> Tensor:
        return loss(layer, batch) * (random.random() if library != "NumPy" else float(np.random.rand()))

    assert f"random numbers from {library}" in reason(engine_with(drawing))


def test_running_out_of_memory_is_reported_as_such() -> None:
    message = reason(engine_with(loss), memory=10)
    assert "out of memory while the step was captured" in message
    assert "batch_size" in message


def test_any_other_error_is_reported_in_one_line() -> None:
    """Only the capture fails: the step itself works. The innermost line outside genbench is named."""

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


def test_phases_that_hardly_ever_coincide_are_rejected() -> None:
    with pytest.raises(EngineUnavailable, match=r"only every 99,999,999 steps; use the engine eager"):
        due_players(engine_with(loss, every=(9999, 10001)).players)


def test_each_kind_of_step_is_captured_once() -> None:
    engine = engine_with(loss, every=(2, 4, 3))
    recorder = graphed(engine)
    kinds = {tuple(number % interval == 0 for interval in (2, 4, 3)) for number in range(12)}
    assert len(recorder.calls) == len(kinds) == 6
    twin = engine_with(loss, every=(2, 4, 3))
    load_state(twin, read_state(engine).copy())
    assert differing(run_steps(engine, 13), run_steps(twin, 13)) == set()


def test_a_step_that_depends_on_python_state_is_noticed() -> None:
    """As on a GPU, a count that the host keeps inside a step is the same in every replay."""
    count = [0]

    def counting(layer: nn.Linear, batch: Batch) -> Tensor:
        count[0] += 1
        return loss(layer, batch) * count[0]

    engine = engine_with(counting)
    graphed(engine)
    assert count[0] == WARM_UP + 2  # once to see whether it reads the progress, and once for the capture
    run_steps(engine, 3)
    assert count[0] == WARM_UP + 2  # once to see whether it reads the progress, and once for the capture


def test_the_inner_execution_is_what_is_captured_and_closed() -> None:
    class Doubling(Execution):
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


def test_a_step_in_another_precision_is_run_and_not_replayed() -> None:
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


def test_a_tensor_made_of_values_of_the_host_is_rejected() -> None:
    engine = engine_with(lambda layer, batch: loss(layer, batch) * torch.tensor(2.0))
    with pytest.raises(EngineUnavailable, match="cannot be captured"):
        graphed(engine)


def test_the_simulated_memory_is_reused_as_on_a_gpu() -> None:
    """After a replay, temporary tensors are overwritten, and with a shared pool those of later captures."""
    numbers, made = torch.ones(3), list[Tensor]()
    recorder = SimulatedRecorder(share=True)
    first = recorder.record(lambda: made.extend([numbers + 1, numbers + 2]), [])
    second = recorder.record(lambda: made.append(numbers + 3), [])
    recorder.kept = lambda: [made[0], made[2]]
    second()
    assert made[2].tolist() == [4, 4, 4]
    first()
    assert made[0].tolist() == [2, 2, 2]
    assert made[1].isnan().all()
    assert made[2].isnan().all()
