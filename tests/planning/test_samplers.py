"""Samplers of a plan: how they are written, which cells they reach, and that they change no identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import genbench
from genbench.errors import SpecError, UsageError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.planning.samplers import parse_sampler
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import LoadedPlugin, Plugin, builtin_plugins, load_plugin
from genbench.plugins.spec_transfer import spec_from_data, spec_to_data
from genbench.results.schema import PlannedCell

ACME = Plugin("acme", "entry-point", "acme", "acme", "1.0")


@dataclass(frozen=True)
class Options:
    steps: int = genbench.option(20, "steps", minimum=1)
    rule: str = genbench.option("euler", "rule")


SAMPLERS = (
    genbench.SamplerSpec(name="walk", summary="in steps", options=Options),
    genbench.SamplerSpec(name="jump", summary="at once"),
)
FAMILY = genbench.FamilySpec(name="acme", create=len, samplers=SAMPLERS)
MODEL = genbench.ModelSpec(name="acme", family="acme", build=len, default_loss="acme")
LOSS = genbench.LossSpec(name="acme", family="acme", create=len)


def catalogue() -> Catalogue:
    own: dict[Any, Any] = {"families": [FAMILY], "models": [MODEL], "losses": [LOSS]}
    return combine([*(load_plugin(plugin) for plugin in builtin_plugins()), LoadedPlugin(ACME, own)])


def cells(models: str = "acme,gan", **given: Any) -> list[PlannedCell]:
    return make_plan(make_request({"models": models, **given}, ()), catalogue(), "cpu").cells


def test_the_identity_of_a_training_does_not_depend_on_them() -> None:
    plain, measured = cells(), cells(samplers="walk:steps=5,jump")
    assert [cell.id for cell in plain] == [cell.id for cell in measured]
    assert [cell.identity for cell in plain] == [cell.identity for cell in measured]
    assert [[sampler.label for sampler in cell.samplers] for cell in measured] == [["walk:steps=5", "jump"], []]
    assert measured[0].samplers[0].options == {"steps": 5, "rule": "euler"}


def test_flags_and_plan_files_agree_and_the_same_sampler_is_measured_once() -> None:
    written = ["walk:steps=20", "walk", "walk:rule=heun:steps=5", "walk:steps=5:rule=heun"]
    assert [s.label for s in cells(samplers=written)[0].samplers] == ["walk", "walk:steps=5:rule=heun"]
    assert cells(samplers=written) == cells(samplers=",".join(written))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wolk", r"No family of these models has a sampler 'wolk'. Did you mean 'walk'\?"),
        ("walk:step=5", r"Unknown option walk.step. Did you mean 'steps'\?"),
        ("walk:steps=0", "steps"),
        ("walk:steps", "'walk:steps' is not valid"),
        (":steps=3", "has no name"),
        ("jump:steps=3", "Unknown option jump.steps"),
    ],
)
def test_mistakes_are_found_before_anything_trains(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cells(samplers=text)


def test_the_prior_of_every_model_can_be_truncated_and_nothing_else_is_known_without_a_declaration() -> None:
    assert [[s.label for s in cell.samplers] for cell in cells(samplers="truncated:psi=0.5")] == [
        ["truncated:psi=0.5"]
    ] * 2
    with pytest.raises(UsageError, match=r"No family of these models has a sampler 'walk'") as error:
        cells("gan", samplers="walk")
    assert error.value.cure == "Samplers: truncated (models with latents)."


def test_values_are_read_as_toml() -> None:
    assert parse_sampler("walk: steps = 5 :rule=heun") == ("walk", {"steps": 5, "rule": "heun"})


def test_they_reach_processes_that_have_not_imported_the_plugin() -> None:
    again = spec_from_data("families", spec_to_data(FAMILY))
    assert isinstance(again, genbench.FamilySpec)
    assert [sampler.option_schema for sampler in again.samplers] == [sampler.option_schema for sampler in SAMPLERS]


@pytest.mark.parametrize("samplers", [("walk",), (*SAMPLERS, SAMPLERS[0]), SAMPLERS[0]])
def test_a_family_declares_specs_with_different_names(samplers: Any) -> None:
    with pytest.raises(SpecError, match=r"samplers must be a tuple|the same name"):
        genbench.FamilySpec(name="acme", create=len, samplers=samplers)
