"""Which settings the optimiser of a phase uses: precedence, factors, and the notes that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import TINY
from torch import nn
from warm import run

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.specs import LossSpec, ModelSpec
from genbench.api.training import Batch, Objective, Phase
from genbench.errors import SpecError
from genbench.train.optimizers import make_optimizers
from genbench.train.phase_recipe import changed_settings, phase_notes, phase_recipe

MODEL = ModelSpec(name="m", family="f", build=len, default_loss="l", recipe={"learning_rate": 1e-3, "beta1": 0.9})
LOSS = LossSpec(name="l", family="f", create=len, recipe={"beta1": 0.0})


def no_objective(batch: Batch) -> Objective:
    raise NotImplementedError


def phase(name: str = "p", **fields: Any) -> Phase:
    return Phase(name, ("n",), no_objective, **fields)


def used(given: Phase, **flags: Any) -> Recipe:
    """Return what the phase uses in a cell of the model and the loss, with these flags."""
    recipe = resolve_recipe(MODEL.recipe, LOSS.recipe, flags)
    return phase_recipe(given, recipe, changed_settings(recipe, MODEL, LOSS))


def notes(given: Phase, **flags: Any) -> list[str]:
    recipe = resolve_recipe(MODEL.recipe, LOSS.recipe, flags)
    return phase_notes([given], recipe, changed_settings(recipe, MODEL, LOSS))


def test_a_phase_overrides_the_defaults_and_what_the_user_changed_overrides_the_phase() -> None:
    own = phase(recipe={"learning_rate": 5e-4, "beta1": 0.5})
    assert (used(own).learning_rate, used(own).beta1) == (5e-4, 0.5)
    set_rate = used(own, learning_rate=0.01)
    assert (set_rate.learning_rate, set_rate.beta1) == (0.01, 0.5)
    assert used(own, beta1=0.8).beta1 == 0.8


def test_a_value_equal_to_the_default_of_model_and_loss_is_not_a_change() -> None:
    assert used(phase(recipe={"learning_rate": 5e-4}), learning_rate=1e-3).learning_rate == 5e-4
    assert used(phase(recipe={"beta1": 0.5}), beta1=0.9).beta1 == 0.9  # the loss's default is 0


def test_a_factor_multiplies_whatever_was_chosen() -> None:
    fourfold = phase(recipe_factors={"learning_rate": 4, "weight_decay": 0.5})
    assert used(fourfold).learning_rate == 4e-3
    assert used(fourfold, learning_rate=0.01).learning_rate == 0.04
    assert used(fourfold, weight_decay=0.1).weight_decay == 0.05
    discriminator = phase("discriminator", recipe_factors={"learning_rate": 4})
    assert used(discriminator, discriminator_learning_rate=0.1).learning_rate == pytest.approx(0.4)
    network = nn.Linear(1, 1)
    made = make_optimizers({"n": network}, [fourfold], resolve_recipe({"learning_rate": 0.25}))
    assert made["p"].param_groups[0]["lr"] == 1.0


def test_the_discriminators_own_rate_wins_over_its_phase() -> None:
    own = phase("discriminator", recipe={"learning_rate": 5e-4})
    assert used(own, discriminator_learning_rate=0.01).learning_rate == 0.01
    assert used(own, learning_rate=0.02).learning_rate == 0.02
    both = used(own, learning_rate=0.02, discriminator_learning_rate=0.01)
    assert both.learning_rate == 0.01


def test_notes_say_what_each_phase_used_and_what_did_not_reach_it() -> None:
    own = phase(recipe={"learning_rate": 5e-4, "beta1": 0.0})
    assert notes(own) == ["phase 'p' uses its own learning_rate 0.0005"]
    assert notes(own, learning_rate=0.01) == ["phase 'p' uses learning_rate 0.01, as set, instead of its own 0.0005"]
    assert notes(phase(recipe_factors={"learning_rate": 4})) == [
        "phase 'p' uses its own learning_rate 0.004 (4 times the recipe's)"
    ]
    assert notes(phase(recipe={"optimizer": "sgd"}), beta1=0.3) == [
        "phase 'p' uses its own optimizer sgd",
        "beta1 = 0.3 does not reach phase 'p', which uses sgd",
    ]
    assert notes(phase()) == notes(phase("lazy", optimizer="p")) == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"recipe_factors": {"beta1": 2}}, "multiplies 'beta1', which is not an optimiser setting"),
        ({"recipe_factors": {"learning_rate": "4"}}, "multiplies learning_rate by '4'"),
        ({"recipe_factors": {"learning_rate": -1}}, "multiplies learning_rate by -1"),
        (
            {"recipe": {"learning_rate": 1.0}, "recipe_factors": {"learning_rate": 4}},
            "both overrides and multiplies learning_rate",
        ),
        ({"recipe": {"batch_size": 4}}, "overrides 'batch_size'"),
    ],
)
def test_impossible_statements_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        used(phase(**fields))


@pytest.mark.slow
def test_the_notes_are_stored_with_the_cell(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN_TEXT, encoding="utf-8")
    done = run(*TINY, "--plugin", str(plugin), "--models", "pull", "--learning-rate", "0.5", out=tmp_path / "run")
    (cell,) = done.run_cells
    assert "phase 'pull' uses its own learning_rate 2 (4 times the recipe's)" in cell.notes


PLUGIN_TEXT = """
import math

import torch
from torch import nn

import genbench


class Pull:
    def __init__(self, setup):
        self.setup, self.generator = setup, setup.networks["generator"]

    def phases(self):
        return [genbench.Phase("pull", ("generator",), self.pull, recipe_factors={"learning_rate": 4})]

    def pull(self, batch):
        fake = self.sample(len(batch.images), batch.rng)
        return genbench.Objective(self.setup.loss(fake, batch.images), {})

    def sample(self, count, rng, labels=None):
        return self.generator(torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device))

    def reconstruct(self, images, labels=None):
        raise NotImplementedError


def build(image_shape, latent_dim, num_classes, options):
    layers = [nn.Linear(latent_dim, math.prod(image_shape)), nn.Tanh(), nn.Unflatten(1, image_shape)]
    return {"generator": nn.Sequential(*layers)}


@genbench.hookimpl
def genbench_families():
    yield genbench.FamilySpec(name="pull", summary="x", create=Pull, networks=("generator",))


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(name="pull", summary="x", family="pull", build=build, default_loss="pull", latent_dim=4)


@genbench.hookimpl
def genbench_losses():
    create = lambda options: nn.functional.mse_loss
    yield genbench.LossSpec(name="pull", summary="x", family="pull", formula="x", create=create)
"""
