"""State kept in memory: steps that were only tried out leave no trace, and tensors keep their memory."""

from __future__ import annotations

import pytest
import torch
from engine_cells import built

from genbench.train.engine import Engine
from genbench.train.state import read_state, state_kept


def places(engine: Engine) -> list[int]:
    found = [tensor.data_ptr() for network in engine.networks.values() for tensor in network.state_dict().values()]
    for player in engine.players:
        assert player.optimizer is not None
        found += [v.data_ptr() for held in player.optimizer.state.values() for v in held.values() if v is not None]
    return found


def trained(engine: Engine, steps: int) -> dict[str, torch.Tensor]:
    for _ in range(steps):
        engine.step()
    return {**read_state(engine).copy().tensors, **engine.read_terms()}


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "adam", "ema_half_life": 100.0, "augment_discriminator": "ada"},
        {"optimizer": "adamw", "weight_decay": 0.1, "dropout": 0.2},
        {"optimizer": "rmsprop", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.9, "augment_flip": 0.5},
        {"losses": "r1", "discriminator_steps": 2, "schedule": "linear", "images": 400},
    ],
    ids=lambda recipe: str(next(iter(recipe.values()))),
)
@pytest.mark.parametrize("before", [0, 3])
def test_steps_that_were_tried_out_change_nothing(recipe: dict[str, object], before: int) -> None:
    """Bitwise, also if the optimiser had no state yet: zeros are equivalent to none."""
    straight = built("dcgan", **recipe).engine
    trained(straight, before)
    expected = trained(straight, 4)
    interrupted = built("dcgan", **recipe).engine  # also seeds global random numbers, which dropout uses
    trained(interrupted, before)
    with state_kept(interrupted):
        trained(interrupted, 4)
    found = trained(interrupted, 4)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_tensors_keep_their_memory() -> None:
    engine = built("gan").engine
    engine.step()
    before = places(engine)
    with state_kept(engine):
        engine.step()
    assert places(engine) == before


def test_unread_losses_are_kept() -> None:
    engine = built("gan").engine
    engine.step()
    with state_kept(engine):
        engine.step()
        assert {len(series) for series in engine.read_terms().values()} == {1}
    assert {len(series) for series in engine.read_terms().values()} == {1}


def test_an_interrupted_step_leaves_nothing_frozen() -> None:
    engine = built("gan").engine
    generator = engine.players[1]
    objective = generator.phase.objective

    def fail(batch: object) -> None:
        raise RuntimeError("broken")

    object.__setattr__(generator.phase, "objective", fail)
    with pytest.raises(RuntimeError, match="broken"), state_kept(engine):
        engine.step()
    assert all(parameter.requires_grad for parameter in engine.networks["discriminator"].parameters())
    object.__setattr__(generator.phase, "objective", objective)
    fresh = built("gan").engine
    expected, found = trained(fresh, 2), trained(engine, 2)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
