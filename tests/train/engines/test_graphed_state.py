"""The state of an engine with replayed steps: loading, reading, and handing over to other executions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from graphed_engines import STEPS, differing, engine_of, graphed, run_steps
from simulated_capture import capturable_on_cpu, one_thread

from genbench.cell.counters import flops_per_image
from genbench.plugins.catalogue import Catalogue, discover
from genbench.train.checkpoint import load_checkpoint, save_checkpoint
from genbench.train.engine import Eager
from genbench.train.state import load_state, read_state

__all__ = ["capturable_on_cpu", "one_thread"]  # fixtures


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def test_a_loaded_state_is_read_by_the_graph(catalogue: Catalogue) -> None:
    """Steps are repeated from a loaded state: with the same results, in the same memory."""
    engine = engine_of(catalogue, "cdcgan", ema_half_life=100.0, augment_flip=0.5)
    graphed(engine)
    run_steps(engine, 7)  # in the middle of an epoch
    kept = read_state(engine).copy()
    addresses = {name: t.data_ptr() for name, t in read_state(engine).tensors.items() if "rng" not in name}
    first = run_steps(engine, 9)
    load_state(engine, kept)
    second = run_steps(engine, 9)
    assert differing(first, second) == set()
    after = read_state(engine).tensors
    moved = {name for name, address in addresses.items() if after[name].data_ptr() != address}
    assert moved <= {"data.order"}  # which is copied to the memory of the graph


def test_a_resumed_graph_continues_like_an_uninterrupted_one(catalogue: Catalogue, tmp_path: Path) -> None:
    first, second = (engine_of(catalogue, "gan", schedule="cosine", dropout=0.2) for _ in range(2))
    graphed(first)
    run_steps(first, 8)
    save_checkpoint(tmp_path / "resume.safetensors", first, {}, {})
    expected = run_steps(first, 12)
    load_checkpoint(tmp_path / "resume.safetensors", second)
    graphed(second)
    assert differing(expected, run_steps(second, 12)) == set()


def test_capturing_changes_nothing(catalogue: Catalogue) -> None:
    engine = engine_of(catalogue, "dcgan", ema_half_life=100.0)
    run_steps(engine, 3)
    before = read_state(engine).copy()
    graphed(engine)
    after = read_state(engine)
    assert {name for name, tensor in before.tensors.items() if not torch.equal(tensor, after.tensors[name])} == set()
    assert before.numbers == after.numbers


def test_a_graph_and_the_eager_execution_can_alternate(catalogue: Catalogue) -> None:
    """Each continues from the state of the other, including consumed batches and gradients."""
    eager, turning = (engine_of(catalogue, "gan", optimizer="sgd") for _ in range(2))
    graphed(turning)
    graph = turning.execution
    for step in range(STEPS):
        eager.step()
        turning.execution = graph if step % 3 else Eager()
        turning.step()
        assert turning.gradient_norms() == eager.gradient_norms()
    assert differing((eager.read_terms(), read_state(eager)), (turning.read_terms(), read_state(turning))) == set()


def test_an_observer_sees_an_eager_step(catalogue: Catalogue) -> None:
    engine = engine_of(catalogue, "gan")
    expected = flops_per_image(engine)
    graphed(engine)
    engine.step()
    assert flops_per_image(engine) == expected


def test_losses_are_read_at_the_end_of_windows_of_any_length(catalogue: Catalogue) -> None:
    eager, replayed = (engine_of(catalogue, "gan", "r1.penalty_every=4", losses="r1") for _ in range(2))
    graphed(replayed)
    for steps in (1, 2, 10, 30):
        expected, found = (run_steps(engine, steps)[0] for engine in (eager, replayed))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], series) for name, series in expected.items())
    assert replayed.read_terms() == {}


def test_gradients_are_those_of_the_last_step_of_any_kind(catalogue: Catalogue) -> None:
    eager, replayed = (engine_of(catalogue, "gan", "r1.penalty_every=2", losses="r1") for _ in range(2))
    graphed(replayed)
    for _ in range(5):
        eager.step()
        replayed.step()
        for name, network in eager.networks.items():
            pairs = zip(network.parameters(), replayed.networks[name].parameters(), strict=True)
            for mine, theirs in pairs:
                if mine.grad is None:  # a penalty does not depend on the last bias of the discriminator
                    assert theirs.grad is None
                else:
                    assert theirs.grad is not None
                    assert torch.equal(mine.grad, theirs.grad)


def test_training_continues_eagerly_after_a_graph_is_closed(catalogue: Catalogue) -> None:
    eager, closed = (engine_of(catalogue, "gan") for _ in range(2))
    graphed(closed)
    closed.execution.close()
    closed.execution = Eager()
    assert differing(run_steps(eager, 5), run_steps(closed, 5)) == set()
