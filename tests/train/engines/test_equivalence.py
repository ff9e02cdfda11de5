"""The check that an execution trains as eagerly: what is the same passes, and each deliberate fault is caught."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from engine_cells import built
from torch import Tensor

from genbench.results.schema import EngineCheck
from genbench.train.engine import Eager, Engine, Player
from genbench.train.engines.equivalence import compare, deviation, eager_ways, walk
from genbench.train.state import read_state

Run = Callable[[Engine, Sequence[Player]], None]


class Faulty:
    """An execution with a fault."""

    name, notes = "faulty", ()

    def __init__(self, run: Run) -> None:
        self._run = run

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        self._run(engine, due)

    def close(self) -> None: ...


def fast(engine: Engine, due: Sequence[Player]) -> None:
    """Learn a twentieth faster."""
    groups = [group for p in due if p.optimizer for group in p.optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = 1.05 * group["lr"]
    engine.run_phases(due)
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate


def lazy(engine: Engine, due: Sequence[Player]) -> None:
    """Forget the last phase."""
    engine.run_phases(due[:-1])


def eager_beaver(engine: Engine, due: Sequence[Player]) -> None:
    """Run the first phase once more."""
    engine.run_phases([due[0], *due])


def stale(engine: Engine, due: Sequence[Player]) -> None:
    """Draw the same noise in each step, as a graph does whose generator was not registered."""
    engine.rng.manual_seed(7)
    engine.run_phases(due)


def same_images(engine: Engine, due: Sequence[Player]) -> None:
    """Train on the first batch for ever."""
    tensors, numbers = engine.data.state()
    engine.run_phases(due)
    engine.data.load_state(tensors, numbers)


def frozen_statistics(engine: Engine, due: Sequence[Player]) -> None:
    """Put back what batch norm has gathered."""
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


def broken(check: EngineCheck) -> set[str]:
    return {bound.what for bound in check.bounds if bound.found > bound.tolerance}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", ["gan", "vae", "dcgan"])
def test_eager_follows_itself_to_the_last_bit(model: str, precision: str) -> None:
    engine = built(model, precision=precision).engine
    eager = eager_ways(engine)
    again = deviation(walk(engine, Eager(), "fp32"), eager.reference)
    assert (again.first_losses, again.losses, again.parameters, again.lengths) == (0, 0, 0, 0)
    assert broken(compare(engine, Eager(), eager)) == set()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("fault", "loss"),
    [
        (fast, "non-saturating"),
        (lazy, "non-saturating"),
        (eager_beaver, "non-saturating"),
        (stale, "non-saturating"),
        (same_images, "non-saturating"),
        (frozen_statistics, "non-saturating"),
        (without_penalty, "wgan-gp"),
        (without_penalty, "r1"),
        (not_finite, "non-saturating"),
    ],
)
def test_a_fault_is_caught(fault: Run, loss: str, precision: str) -> None:
    engine = built("dcgan", losses=loss, precision=precision).engine
    assert broken(compare(engine, Faulty(fault), eager_ways(engine))) != set()


def test_a_learning_rate_that_is_a_twentieth_too_high_shows_as_that() -> None:
    engine = built("vae").engine
    found = deviation(walk(engine, Faulty(fast)), walk(engine, Eager()))
    assert found.lengths == pytest.approx(0.05, rel=0.1)
    assert found.parameters == pytest.approx(0.05, rel=0.3)  # gradients change on the way too


def test_a_lazy_phase_is_in_it_wherever_the_training_stands() -> None:
    """A penalty in each 100th step would come in none of twenty steps from step 1 on."""
    engine = built("gan", losses="r1", set={"r1": {"penalty_every": 100}}).engine
    engine.step()
    engine.read_terms()
    way = walk(engine, Eager())
    assert [len(series) for series in way.losses.values()] == [20, 1, 20]
    assert engine.step_number == 1


def test_walking_leaves_the_engine_where_it_was() -> None:
    engine = built("dcgan", ema_half_life=100.0).engine
    engine.step()
    before: dict[str, Tensor] = read_state(engine).copy().tensors
    compare(engine, Faulty(fast), eager_ways(engine))
    after = read_state(engine).tensors
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert engine.execution.name == "eager"
