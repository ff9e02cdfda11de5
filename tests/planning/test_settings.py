"""Settings reach one thing each: a name that two things share is qualified with the kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import genbench
from genbench.api.events import CellFacts
from genbench.errors import UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import LoadedPlugin, Plugin, builtin_plugins, load_plugin
from genbench.results.identity_settings import options_by_choice

BUILTIN = [load_plugin(plugin) for plugin in builtin_plugins()]


@dataclass(frozen=True)
class OfModel:
    weight: float = genbench.option(1.0, "of the model")
    width: int = genbench.option(8, "of the model only")


@dataclass(frozen=True)
class OfLoss:
    weight: float = genbench.option(2.0, "of the loss")
    learning_rate: float = genbench.option(0.1, "like a field of the recipe")


@dataclass(frozen=True)
class OfReporter:
    weight: float = genbench.option(3.0, "of the reporter")


def catalogue() -> Catalogue:
    model = genbench.ModelSpec(
        name="collide", family="adversarial", build="a:b", default_loss="collide", options=OfModel
    )
    loss = genbench.LossSpec(name="collide", family="adversarial", create="a:b", options=OfLoss)
    reporter = genbench.ReporterSpec(name="collide", create="a:b", options=OfReporter)
    plugin = Plugin("acme", "entry-point", "acme", "acme", "1.0", {})
    return combine([*BUILTIN, LoadedPlugin(plugin, {"models": [model], "losses": [loss], "reporters": [reporter]})])


def plan(*settings: str, **given: Any) -> Plan:
    return make_plan(make_request({"models": "collide", **given}, settings), catalogue(), "cpu")


def options(made: Plan) -> dict[str, Any]:
    (cell,) = made.cells
    return options_by_choice(cell.identity)


def test_a_name_that_reaches_two_things_is_an_error_that_names_both_forms() -> None:
    with pytest.raises(UsageError) as error:
        plan("collide.weight=3")
    assert error.value.cause == (
        "--set collide.weight is ambiguous: the model and the loss 'collide' have this option."
    )
    assert error.value.cure == (
        "Write --set model:collide.weight=… or --set loss:collide.weight=…; "
        'in a plan, [set."model:collide"] or [set."loss:collide"].'
    )


def test_fields_of_the_recipe_and_reporters_collide_too() -> None:
    with pytest.raises(UsageError, match="the model and the loss 'collide' have this option"):
        plan("collide.learning_rate=3")
    with pytest.raises(UsageError, match="the model and the loss and the reporter 'collide'"):
        plan("collide.weight=3", reporters="collide")


def test_each_form_reaches_one_thing() -> None:
    made = plan("model:collide.weight=3", "loss:collide.weight=4", "collide.width=16", "loss:collide.learning-rate=5")
    assert options(made) == {
        "model:collide.weight": 3.0,
        "loss:collide.weight": 4.0,
        "collide.width": 16,
        "collide.learning_rate": 5.0,
    }
    assert made.cells[0].identity.recipe["learning_rate"] == 2e-4
    assert plan("model:collide.learning_rate=0.5").cells[0].identity.recipe["learning_rate"] == 0.5
    assert plan("model:collide.latent_dim=3").cells[0].identity.latent_dim == 3


def test_only_what_would_be_ambiguous_is_shown_with_its_kind() -> None:
    assert options(make_plan(make_request({"models": "gan"}), catalogue(), "cpu")).keys() >= {"gan.width"}
    (cell,) = plan().cells
    facts = CellFacts(id=cell.id, label="", variant="", identity=msgspec.to_builtins(cell.identity))
    assert facts.settings["model:collide.weight"] == 1.0
    assert facts.settings["loss:collide.weight"] == 2.0
    assert facts.settings["collide.width"] == 8


def test_tables_of_a_plan_take_the_same_names_and_flags_and_variants_win() -> None:
    tables = {"model:collide": {"weight": 3}, "loss:collide": {"weight": 4}, "collide": {"width": 9}}
    assert options(plan(set=tables))["loss:collide.weight"] == 4.0
    assert options(plan("model:collide.width=10", set=tables))["collide.width"] == 10
    qualified = {"model:collide": {"width": 9}}
    assert options(plan("collide.width=10", set=qualified))["collide.width"] == 10
    assert options(plan(set=qualified, variants={"v": {"set": {"collide": {"width": 11}}}}))["collide.width"] == 11


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("modle:collide.weight=3", r"'modle' is not a kind\. Did you mean 'model'"),
        ("dataset:collide.weight=3", "no dataset is named 'collide'"),
        ("loss:hinge.weight=3", "the loss 'hinge' is not used in this run"),
        ("loss:collide.width=3", r"Unknown option loss:collide\.width\.\nloss:collide has: learning_rate, weight"),
        ("collide.wdith=3", r"Unknown option collide\.wdith\. Did you mean 'width'"),
    ],
)
def test_a_qualified_name_that_reaches_nothing(setting: str, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        plan(setting)
