"""Search spaces: what is read, what it means for each model, and which mistakes are named."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from genbench.errors import UsageError
from genbench.planning.search_space import Choices, Range, Space, make_spaces, settings_of_point
from genbench.plugins.catalogue import discover

CATALOGUE = discover([])


def spaces(text: str, *models: str) -> dict[str, Space]:
    pairs = [
        (CATALOGUE.models[name].spec, CATALOGUE.losses[CATALOGUE.models[name].spec.default_loss].spec)
        for name in models or ("dcgan", "vae")
    ]
    return make_spaces(tomllib.loads(text), pairs, "space.toml")


def test_a_table_of_a_model_or_loss_adds_to_what_is_common_and_overrides_it() -> None:
    found = spaces(
        """
        learning-rate = {low = 1e-5, high = 1, log = true}
        [dcgan]
        width = {low = 16, high = 64, step = 16}
        learning_rate = {choices = [1e-4, 2e-4]}
        [elbo]
        beta = {low = 0, high = 4}
        """
    )
    assert {one.name: one.values for one in found["dcgan"]} == {
        "learning_rate": Choices((1e-4, 2e-4)),
        "dcgan.width": Range(16, 64, step=16, integer=True),
    }
    assert {one.name: one.values for one in found["vae"]} == {
        "learning_rate": Range(1e-5, 1.0, log=True),
        "elbo.beta": Range(0.0, 4.0),
    }
    assert settings_of_point(found["vae"], {"learning_rate": 0.1, "elbo.beta": 2.0}) == {
        "model:vae": {"learning_rate": 0.1},
        "loss:elbo": {"beta": 2.0},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = {low = 1, high = 2}", "'learning_rat' is not a recipe field. Did you mean 'learning_rate'"),
        ("[dcgn]\nwidth = {low = 16, high = 64}", "'dcgn' is neither .* Did you mean 'dcgan'"),
        ("[dcgan]\nwidht = {low = 16, high = 64}", "Unknown option space.toml: dcgan.widht. Did you mean 'width'"),
        ("[dcgan]\nwidth = {low = 16, hihg = 64}", "unknown key 'hihg'. Did you mean 'high'"),
        ("[dcgan]\nwidth = {low = 16}", "has no high"),
        ("[dcgan]\nwidth = {low = 64, high = 16}", "low = 64 is not below high = 16"),
        ("[dcgan]\nwidth = {low = 16.5, high = 64}", "16.5 is not of type int"),
        ("[dcgan]\nwidth = {low = -1, high = 64}", "out of range"),
        ("[dcgan]\nwidth = {low = 16, high = 64, step = 10}", "do not end at 64.*\n.*high = 56"),
        ("[dcgan]\nwidth = {low = 16, high = 64, step = 0}", "step = 0 is not a positive int"),
        ("[dcgan]\nwidth = 32", "is not a recipe field|32 is not a range"),
        ("learning_rate = 1e-3", "0.001 is not a range"),
        ("learning_rate = {low = 0, high = 1, log = true}", "begins above 0"),
        ("learning_rate = {low = 1e-3, high = 1, log = true, step = 0.1}", "has no step"),
        ("learning_rate = {low = 1e-3, high = inf}", "out of range"),
        ("learning_rate = {low = true, high = 1}", "not of type float"),
        ("learning_rate = {choices = [1e-3]}", "fewer than two"),
        ("learning_rate = {choices = [1e-3, 'x']}", "'x' is not of type float"),
        ("learning_rate = {choices = [1, 2], low = 1}", "choices and a range"),
        ("optimizer = {low = 1, high = 2}", "has no range"),
        ("optimizer = {choices = ['adam', 'adma']}", "Did you mean 'adam'"),
        ("images = {low = 1, high = 2}", "cannot be tuned: every model and every trial has the same budget"),
        ("patience = {choices = [1, 2]}", "cannot be tuned"),
        ("init_from = {choices = ['a', 'b']}", "a further budget"),
        ("[dcgan]\nwidth = {choices = [16, 32]}", "nothing to tune for the model 'vae'"),
        ("['fashion-mnist-mini']\nsize = {choices = [16, 32]}", "Options of datasets and metrics are not tuned"),
        ('["\\u001b[2J"]\nx = {choices = [1, 2]}', "is neither"),
    ],
)
def test_mistakes_are_named_with_a_remedy(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        spaces(text)


def test_lists_and_none_are_choices() -> None:
    (found,) = spaces("discriminator_learning_rate = {choices = ['none', 1e-3]}", "dcgan").values()
    assert found[0].values == Choices((None, 1e-3))
    (found,) = spaces("augment_policy = {choices = [['color'], ['color', 'cutout']]}", "dcgan").values()
    assert found[0].values == Choices((["color"], ["color", "cutout"]))


def test_a_model_and_a_loss_with_one_name_are_told_apart() -> None:
    model = CATALOGUE.models["vae"].spec
    loss = replace(CATALOGUE.losses["elbo"].spec, name="vae")
    found = make_spaces(
        {"vae": {"beta": {"low": 1, "high": 2}, "hidden": {"low": 8, "high": 16}}}, [(model, loss)], "s"
    )
    assert {(one.owner, one.option, one.name) for one in found["vae"]} == {
        ("model:vae", "hidden", "model:vae.hidden"),
        ("loss:vae", "beta", "loss:vae.beta"),
    }
