"""Shapes by rule: which images fit, the rule in words, and what a plan says about others."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

import genbench
from genbench import ShapeRule
from genbench.api.shape_rule import example_shapes, shapes_in_words
from genbench.errors import SpecError, UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import LoadedPlugin, Plugin, builtin_plugins, load_plugin
from genbench.plugins.spec_transfer import spec_from_data, spec_to_data


@pytest.mark.parametrize(
    ("rule", "accepted", "refused"),
    [
        (ShapeRule(), [(1, 1, 1), (5, 2, 7)], []),
        (ShapeRule(multiple_of=4, minimum=8), [(1, 8, 12), (3, 28, 28)], [(1, 4, 8), (1, 8, 4), (1, 10, 8)]),
        (ShapeRule(minimum=6, maximum=9), [(1, 6, 9)], [(1, 5, 9), (1, 6, 10)]),
        (ShapeRule(square=True), [(2, 5, 5)], [(2, 5, 6)]),
        (ShapeRule(channels=(1, 3)), [(1, 5, 6), (3, 5, 6)], [(2, 5, 6)]),
    ],
)
def test_shapes_fit_if_sides_and_channels_do(rule: ShapeRule, accepted: list[Any], refused: list[Any]) -> None:
    assert [shape for shape in accepted if not rule.accepts(shape)] == []
    assert [shape for shape in refused if rule.accepts(shape)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ShapeRule(), "images with sides from 1"),
        (
            ShapeRule(multiple_of=4, minimum=8, square=True, channels=(1, 3)),
            "square images of 1 or 3 channels with sides that are multiples of 4, from 8",
        ),
        (ShapeRule(minimum=16, maximum=64), "images with sides from 16 to 64"),
    ],
)
def test_a_rule_is_stated_in_words(rule: ShapeRule, text: str) -> None:
    assert str(rule) == shapes_in_words(rule) == text


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("channels", [(), (1,), (2, 4)])
def test_examples_fit_and_include_the_smallest_shape_and_one_that_is_not_square(
    square: bool, channels: tuple[int, ...]
) -> None:
    for multiple, minimum in product((1, 4, 16), (1, 5, 32)):
        rule = ShapeRule(multiple_of=multiple, minimum=minimum, square=square, channels=channels)
        examples = example_shapes(rule)
        assert all(map(rule.accepts, examples))
        side = next(n for n in range(minimum, 99) if n % multiple == 0)
        assert ((channels or (1,))[0], side, side) in examples
        assert any(height != width for _, height, width in examples) != square


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"multiple_of": 0}, "multiple_of of a ShapeRule must be a positive integer, not 0"),
        ({"minimum": 2.5}, "minimum"),
        ({"maximum": "big"}, "maximum"),
        ({"channels": 3}, "channels of a ShapeRule must be a tuple"),
        ({"square": 1}, "square of a ShapeRule"),
        ({"multiple_of": 16, "minimum": 17, "maximum": 31}, "none from 17 to 31 is a multiple of 16"),
    ],
)
def test_impossible_rules_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        ShapeRule(**given)


def catalogue(**fields: Any) -> Catalogue:
    """Return the built-in plugins and the model 'ruled', which has these fields."""
    spec = genbench.ModelSpec(
        name="ruled",
        family="adversarial",
        build="genbench.builtin.models.adversarial.gan:build",
        default_loss="non-saturating",
        **fields,
    )
    sent = msgspec.json.decode(msgspec.json.encode(spec_to_data(spec)))  # as the probe sends it
    received = spec_from_data("models", sent)
    assert (received.image_shapes, received.latent_dim) == (spec.image_shapes, spec.latent_dim)  # type: ignore[attr-defined]
    mine = LoadedPlugin(Plugin("mine", "entry-point", "mine", "mine", "1.0"), {"models": [received]})
    return combine([*map(load_plugin, builtin_plugins()), mine])


def plan(known: Catalogue, *settings: str) -> Plan:
    given = {"models": "gan,ruled", "datasets": "synthetic"}
    return make_plan(make_request(given, ["synthetic.size=27", *settings]), known, "cpu")


def test_a_plan_skips_other_shapes_with_the_rule_and_sizes_that_fit() -> None:
    made = plan(catalogue(image_shapes=ShapeRule(multiple_of=4, minimum=8)))
    (reason,) = (cell.reason for cell in made.cells if cell.identity.model.name == "ruled")
    assert reason.startswith("model 'ruled' accepts images with sides that are multiples of 4, from 8, dataset")
    assert "--set synthetic.size=… (such as 8, 28, 32)" in reason
    assert plan(catalogue(image_shapes=ShapeRule(multiple_of=9))).cells[1].reason == ""


def test_latents_shaped_by_the_image_are_as_many_as_its_values_and_cannot_be_set_otherwise() -> None:
    known = catalogue(latent_dim=None)
    assert plan(known, "synthetic.channels=1", "ruled.latent_dim=729").cells[1].identity.latent_dim == 729
    assert [cell.identity.latent_dim for cell in plan(known, "synthetic.channels=1").cells] == [100, 27 * 27]
    with pytest.raises(UsageError, match=r"ruled.latent_dim cannot be set: the model has one latent for each value"):
        plan(known, "ruled.latent_dim=7")
