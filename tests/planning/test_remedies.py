"""Remedies in the recipe: settings that depend on each other, and those without effect."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import genbench
from genbench.api.recipe import resolve_recipe
from genbench.errors import SpecError, UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.remedies import settings_without_effect, unused_by_family
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def plan(catalogue: Catalogue, **given: object) -> Plan:
    return make_plan(make_request({"models": "gan", **given}), catalogue, "cpu")


@pytest.mark.parametrize(
    ("given", "cause", "cure"),
    [
        ({"patience": 3}, "patience needs a metric", "--best-metric"),
        ({"best_metric": "diversity"}, "needs evaluations during training", "--evaluate-every"),
        ({"best_metric": "diversty", "evaluate_every": 100}, "Did you mean 'diversity'", "Metrics of this run"),
        ({"best_metric": "fid", "evaluate_every": 100}, "not measured in this run", "--metrics"),
        ({"augment_policy": "colour", "augment_discriminator": "ada"}, "Did you mean 'color'", "translation"),
        ({"augment_policy": "colour"}, "Did you mean 'color'", "translation"),  # although nothing is augmented
        ({"augment_policy": [], "augment_discriminator": "ada"}, "augment_policy is empty", "'none'"),
        ({"init_from": "nowhere.safetensors"}, "does not exist", "RUN:CELL"),
        ({"init_from": "nowhere"}, "neither RUN:CELL nor", "safetensors"),
        ({"dropout": 1.5}, "out of range", "≤ 0.99"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'", ""),
        ({"optimizer": "adan"}, "Did you mean 'adam'", ""),
        ({"beta1": 1.0}, "beta1 = 1 would ignore every gradient", "less than 1"),
    ],
)
def test_an_incomplete_setting_is_rejected_with_a_remedy(
    catalogue: Catalogue, given: dict[str, object], cause: str, cure: str
) -> None:
    with pytest.raises(UsageError) as error:
        plan(catalogue, **given)
    assert cause in error.value.cause
    assert cure in f"{error.value.cause} {error.value.cure}"


def test_betas_do_not_matter_for_an_optimiser_without_them(catalogue: Catalogue) -> None:
    assert plan(catalogue, optimizer="sgd", beta2=1.0).possible


@pytest.mark.parametrize(
    ("given", "networks", "said"),
    [
        ({}, ["encoder", "decoder"], []),
        ({"augment_discriminator": "ada"}, ["generator", "discriminator"], []),
        ({"augment_discriminator": "ada"}, ["encoder", "decoder"], ["augment_discriminator = ada"]),
        ({"discriminator_steps": 5}, ["encoder", "decoder"], ["discriminator_steps = 5"]),
        ({"momentum": 0.9}, ["discriminator"], ["momentum = 0.9"]),
        ({"momentum": 0.9, "optimizer": "sgd"}, ["discriminator"], []),
        ({"schedule_final": 0.1}, ["discriminator"], ["schedule_final = 0.1"]),
        ({"schedule_final": 0.1, "schedule": "cosine"}, ["discriminator"], []),
        ({"schedule_every": 9, "schedule": "cosine"}, ["discriminator"], ["schedule_every = 9"]),
        ({"augment_policy": ["flip"]}, ["discriminator"], ["augment_policy = flip"]),
        ({"augment_target": 0.1, "augment_discriminator": "diffaugment"}, ["discriminator"], ["augment_target = 0.1"]),
        ({"ema_ramp": 0.1}, ["discriminator"], ["ema_ramp = 0.1"]),
        ({"loader_workers": 2}, ["discriminator"], ["loader_workers = 2"]),
        ({"loader_workers": 2, "input": "loader"}, ["discriminator"], []),
        ({"ema_ramp": 0.1, "ema_half_life": 10.0}, ["discriminator"], []),
    ],
)
def test_settings_without_effect_are_named(given: dict[str, object], networks: list[str], said: list[str]) -> None:
    recipe = resolve_recipe(given)
    phases = [genbench.Phase(name, (name,), len) for name in networks]  # type: ignore[arg-type]
    unused = unused_by_family(recipe, genbench.FamilySpec(name="x", create=len), networks, phases)
    assert [note.partition(" does nothing: ")[0] for note in settings_without_effect(recipe, unused)] == said


PLAYERS = ("discriminator", "generator")


@pytest.mark.parametrize(
    ("uses", "repeats", "unused"),
    [
        (("discriminator_steps",), 5, {"augment_discriminator"}),
        ((), 5, {"discriminator_steps", "augment_discriminator"}),
        (None, 5, set()),  # undeclared, but a phase runs five times
        (None, 1, {"discriminator_steps"}),
    ],
)
def test_what_a_family_uses_is_declared_or_seen_in_its_phases(
    uses: tuple[str, ...] | None, repeats: int, unused: set[str]
) -> None:
    family = genbench.FamilySpec(name="x", create=len, uses=uses)
    phases = [genbench.Phase(name, (name,), len, repeats=repeats) for name in PLAYERS]  # type: ignore[arg-type]
    found = unused_by_family(resolve_recipe({"discriminator_steps": 5}), family, PLAYERS, phases)
    assert found.keys() == unused
    renamed = [genbench.Phase("critic", ("discriminator",), len)]  # type: ignore[arg-type]
    assert "discriminator_learning_rate" in unused_by_family(resolve_recipe(), family, PLAYERS, renamed)


def test_a_family_can_only_use_fields_that_not_all_use() -> None:
    with pytest.raises(SpecError, match=r"uses names 'discriminator_step'.* Did you mean 'discriminator_steps'"):
        genbench.FamilySpec(name="x", create=len, uses=("discriminator_step",))


def test_a_metric_that_this_family_lacks_skips_the_cell_with_the_reason(catalogue: Catalogue) -> None:
    made = plan(catalogue, models="gan,vae", best_metric="psnr", evaluate_every=1000, patience=2)
    reasons = {cell.identity.model.name: cell.reason for cell in made.cells}
    assert "psnr" in reasons["gan"]
    assert reasons["vae"] == ""


def test_the_content_of_initial_weights_is_part_of_the_identity(catalogue: Catalogue, tmp_path: Path) -> None:
    weights = tmp_path / "some.safetensors"
    ids = []
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        (cell,) = plan(catalogue, init_from=str(weights)).cells
        assert cell.identity.init_hash == hashlib.sha256(content).hexdigest()
        ids.append(cell.id)
    assert ids[0] != ids[1]


def test_lists_may_be_written_with_commas(catalogue: Catalogue) -> None:
    (cell,) = plan(catalogue, augment_policy="translation, cutout", freeze="discriminator.0.*").cells
    assert cell.identity.recipe["augment_policy"] == ["translation", "cutout"]
    assert cell.identity.recipe["freeze"] == ["discriminator.0.*"]
