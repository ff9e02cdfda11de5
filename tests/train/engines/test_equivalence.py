"""The comparison of an execution with the eager one: equal training passes, and each deliberate error is detected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from engine_cells import built
from torch import Tensor

from genbench.results.schema import EngineCheck
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.engines.equivalence import (
    check_execution,
    eager_trajectories,
    measure_deviation,
    record_trajectory,
)
from genbench.train.player import Player
from genbench.train.state import read_state

Run = Callable[[Engine, Sequence[Player]], None]


class Faulty(Execution):
    """An execution with an error."""

    name = "faulty"

    def __init__(self, run: Run) -> None:
        self._run = run

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        self._run(engine, due)

    def close(self) -> None: ...


def high_learning_rate(engine: Engine, due: Sequence[Player]) -> None:
    """Use a learning rate that is 5% too high."""
    groups = [group for p in due if p.optimizer for group in p.optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = 1.05 * group["lr"]
    engine.run_phases(due)
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate


def missing_phase(engine: Engine, due: Sequence[Player]) -> None:
    """Omit the last phase."""
    engine.run_phases(due[:-1])


def repeated_phase(engine: Engine, due: Sequence[Player]) -> None:
    """Run the first phase twice."""
    engine.run_phases([due[0], *due])


def repeated_noise(engine: Engine, due: Sequence[Player]) -> None:
    """Draw the same noise in every step, as a graph does with an unregistered generator."""
    engine.rng.manual_seed(7)
    engine.run_phases(due)


def repeated_images(engine: Engine, due: Sequence[Player]) -> None:
    """Always train on the first batch."""
    tensors, numbers = engine.data.state()
    engine.run_phases(due)
    engine.data.load_state(tensors, numbers)


def frozen_statistics(engine: Engine, due: Sequence[Player]) -> None:
    """Undo the updates of batch norm statistics."""
    kept = [(b, b.clone()) for network in engine.networks.values() for b in network.buffers() if b.is_floating_point()]
    engine.run_phases(due)
    for buffer, value in kept:
        buffer.copy_(value)


def without_penalty(engine: Engine, due: Sequence[Player]) -> None:
    """Drop the penalty."""
    place = engine.functions["penalty"]
    place.current = lambda discriminator, real, *others: 0.0 * discriminator(real).mean()
    engine.run_phases(due)
    place.current = place.function


def not_finite(engine: Engine, due: Sequence[Player]) -> None:
    engine.run_phases(due)
    with torch.no_grad():
        next(engine.networks["generator"].parameters()).fill_(float("nan"))


def exceeded(check: EngineCheck) -> set[str]:
    return {bound.what for bound in check.bounds if bound.found > bound.tolerance}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", ["gan", "vae", "dcgan"])
def test_eager_training_repeats_bit_for_bit(model: str, precision: str) -> None:
    engine = built(model, precision=precision).engine
    eager = eager_trajectories(engine)
    again = measure_deviation(record_trajectory(engine, Eager(), "fp32"), eager.reference)
    assert (again.first_losses, again.losses, again.parameters, again.lengths) == (0, 0, 0, 0)
    assert exceeded(check_execution(engine, Eager(), eager)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("error", "loss"),
    [
        (high_learning_rate, "non-saturating"),
        (missing_phase, "non-saturating"),
        (repeated_phase, "non-saturating"),
        (repeated_noise, "non-saturating"),
        (repeated_images, "non-saturating"),
        (frozen_statistics, "non-saturating"),
        (without_penalty, "wgan-gp"),
        (without_penalty, "r1"),
        (not_finite, "non-saturating"),
    ],
)
def test_an_error_is_detected(error: Run, loss: str, precision: str) -> None:
    engine = built("dcgan", losses=loss, precision=precision).engine
    assert exceeded(check_execution(engine, Faulty(error), eager_trajectories(engine))) != set()


def test_a_learning_rate_that_is_5_percent_too_high_gives_a_deviation_of_5_percent() -> None:
    engine = built("vae").engine
    found = measure_deviation(record_trajectory(engine, Faulty(high_learning_rate)), record_trajectory(engine, Eager()))
    assert found.lengths == pytest.approx(0.05, rel=0.1)
    assert found.parameters == pytest.approx(0.05, rel=0.3)  # gradients change as well


def test_a_lazy_phase_is_included_at_any_stage_of_training() -> None:
    """A penalty in every 100th step would not be due in the twenty steps from step 1 on."""
    engine = built("gan", losses="r1", set={"r1": {"penalty_every": 100}}).engine
    engine.step()
    engine.read_terms()
    trajectory = record_trajectory(engine, Eager())
    assert [len(series) for series in trajectory.losses.values()] == [20, 1, 20]
    assert engine.step_number == 1


def test_the_state_of_the_engine_is_restored() -> None:
    engine = built("dcgan", ema_half_life=100.0).engine
    engine.step()
    before: dict[str, Tensor] = read_state(engine).copy().tensors
    check_execution(engine, Faulty(high_learning_rate), eager_trajectories(engine))
    after = read_state(engine).tensors
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert engine.execution.name == "eager"
