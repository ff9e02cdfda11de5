"""Variants: named recipes that override the plan's own, one more axis of the plan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from genbench.api.recipe import RECIPE_FIELDS
from genbench.errors import UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import Variant, make_request, read_config
from genbench.plugins.catalogue import Catalogue, discover

PLAIN_AND_AVERAGED = {"plain": {}, "averaged": {"ema_half_life": 10_000}}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def plan(catalogue: Catalogue, *settings: str, **given: Any) -> Plan:
    return make_plan(make_request({"models": "gan", **given}, settings), catalogue, "cpu")


def recipes(made: Plan, *fields: str) -> list[tuple[Any, ...]]:
    return [(cell.variant, *(cell.identity.recipe[field] for field in fields)) for cell in made.cells]


def read(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return make_request(read_config(path))


def test_a_file_holds_one_table_for_each_variant(tmp_path: Path) -> None:
    text = """
    [variants.plain]
    [variants."averaged, flipped"]
    ema-half-life = 10_000
    augment_policy = "color, cutout"
    """
    assert read(tmp_path, text).variants == {
        "plain": Variant(),
        "averaged, flipped": Variant({"ema_half_life": 10_000.0, "augment_policy": ["color", "cutout"]}),
    }


def test_variants_come_between_losses_and_seeds_in_the_order_of_the_plan(catalogue: Catalogue) -> None:
    made = plan(
        catalogue, losses="minimax,hinge", variants=PLAIN_AND_AVERAGED, precision=["fp32", "bf16"], seeds=[0, 1]
    )
    found = [(c.identity.loss.name, c.variant, c.identity.recipe["precision"], c.identity.seed) for c in made.cells]
    assert found == [
        (loss, variant, precision, seed)
        for loss in ("minimax", "hinge")
        for variant in ("plain", "averaged")
        for precision in ("fp32", "bf16")
        for seed in (0, 1)
    ]


def test_a_variant_overrides_flags_profile_and_model_and_the_setting_of_one_model_overrides_the_variant(
    catalogue: Catalogue,
) -> None:
    variants = {"plain": {}, "short": {"images": 500, "learning_rate": 0.5, "batch_size": 50}}
    made = plan(catalogue, "gan.batch_size=25", images=900, profile="smoke", variants=variants)
    own = catalogue.require("models", "gan").spec.recipe.get("learning_rate", 2e-4)
    assert recipes(made, "images", "learning_rate", "batch_size") == [("plain", 900, own, 25), ("short", 500, 0.5, 25)]


def test_the_precision_of_a_variant_overrides_the_axis(catalogue: Catalogue) -> None:
    made = plan(
        catalogue, precision=["fp32", "bf16"], variants={"plain": {}, "half": {"precision": "bf16", "beta1": 0}}
    )
    assert recipes(made, "precision", "beta1") == [
        ("plain", "fp32", 0.5),
        ("plain", "bf16", 0.5),
        ("half", "bf16", 0.0),
    ]


def test_a_variant_may_set_options_of_models_and_losses_over_the_plans_own(catalogue: Catalogue) -> None:
    variants = {"plain": {}, "other": {"set": {"gan": {"width": 16, "latent_dim": 3}, "hinge": {}}, "images": 99}}
    made = plan(catalogue, "gan.width=32", losses="hinge", variants=variants)
    found = [(c.variant, c.identity.model.options["width"], c.identity.latent_dim) for c in made.cells]
    assert found == [("plain", 32, 100), ("other", 16, 3)]


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"gan": {"widht": 1}}, "Variant 'a': Unknown option gan.widht. Did you mean 'width'"),
        ({"vae": {"hidden": 8}}, "Variant 'a': --set vae.…: 'vae' is not used"),
        ({"fashion-mnist-mini": {"size": 8}}, "Variant 'a': --set fashion-mnist-mini.…"),
    ],
)
def test_a_variant_may_not_set_what_nothing_uses(
    catalogue: Catalogue, settings: dict[str, dict[str, int]], cause: str
) -> None:
    with pytest.raises(UsageError) as error:
        plan(catalogue, variants={"a": {"set": settings}})
    assert cause in error.value.cause


def test_the_name_of_a_variant_is_not_part_of_the_identity(catalogue: Catalogue) -> None:
    (named,) = plan(catalogue, variants={"averaged": {"ema_half_life": 10_000}}).cells
    (unnamed,) = plan(catalogue, ema_half_life=10_000).cells
    assert named.id == unnamed.id
    assert (named.variant, unnamed.variant) == ("averaged", "")


def test_the_same_recipe_twice_is_one_cell_under_the_first_name_with_a_warning(catalogue: Catalogue) -> None:
    made = plan(catalogue, seeds=[0, 1], variants={"b": {"beta1": 0.5}, "a": {}, "c": {"beta1": 0.9}})
    assert recipes(made, "beta1") == [("b", 0.5), ("b", 0.5), ("c", 0.9), ("c", 0.9)]
    assert made.warnings == ["variant 'a' of 'gan' has the same recipe as 'b': measured once, as 'b'"]


def test_a_plan_without_variants_has_unnamed_cells(catalogue: Catalogue) -> None:
    plain, empty = plan(catalogue), plan(catalogue, variants={})
    assert plain.cells == empty.cells
    assert [cell.variant for cell in plain.cells] == [""]


@pytest.mark.parametrize(
    ("text", "cause", "cure"),
    [
        ("variants = 3", "'variants' must contain one table per name", r"\[variants\."),
        ("variants = ['ema']", "'variants' must contain one table per name", r"\[variants\."),
        ("[variants]\nema_half_life = 3", "'variants' must contain one table per name", r"\[variants\."),
        ("[variants.' ']", "A variant cannot be named ' '", ""),
        ("[variant.ema]", "unknown key 'variant'. Did you mean 'variants'", ""),
        (
            "[variants.ema]\nema-halflife = 1",
            "variants.ema.ema-halflife .* Did you mean 'ema_half_life'",
            "recipe fields",
        ),
        ("[variants.ema]\nseeds = [1]", "variants.ema.seeds is not a recipe field", "ema_half_life"),
        ("[variants.ema]\nema_half_life = -1", "variants.ema.ema_half_life = -1 is out of range", "float ≥ 0"),
        ("[variants.ema]\nema_half_life = nan", "variants.ema.ema_half_life = nan is out of range", "float ≥ 0"),
        ("[variants.ema]\nbatch_size = '8'", "variants.ema.batch_size = '8' is not of type int", "int ≥ 1"),
        ("[variants.ema]\nbatch_size = true", "variants.ema.batch_size = True is not of type int", "int ≥ 1"),
        ("[variants.ema]\nprecision = ['fp32']", "variants.ema.precision = .* not of type str", "fp32, tf32, bf16"),
        ("[variants.ema]\nschedule = 'cosin'", "variants.ema.schedule = .* Did you mean 'cosine'", ""),
    ],
)
def test_an_invalid_variant_is_rejected_with_variant_field_and_range(
    tmp_path: Path, text: str, cause: str, cure: str
) -> None:
    with pytest.raises(UsageError, match=cause) as error:
        read(tmp_path, text)
    assert re.search(cure, error.value.cure)


def test_every_field_of_the_recipe_may_vary(catalogue: Catalogue) -> None:
    defaults = plan(catalogue).cells[0].identity.recipe
    (request,) = [make_request({"variants": {"all": {name: defaults[name] for name in RECIPE_FIELDS}}})]
    assert request.variants["all"].recipe == defaults


@pytest.mark.parametrize(
    ("fields", "cause"), [({"patience": 3}, "patience needs"), ({"init_from": "no.safetensors"}, "")]
)
def test_an_incomplete_variant_is_named(catalogue: Catalogue, fields: dict[str, object], cause: str) -> None:
    with pytest.raises(UsageError, match=f"Variant 'stopped': .*{cause}"):
        plan(catalogue, variants={"plain": {}, "stopped": fields})


def test_only_the_impossible_variant_is_skipped(catalogue: Catalogue) -> None:
    made = plan(catalogue, variants={"plain": {}, "huge": {"batch_size": 100_000}})
    assert [(cell.variant, "batch_size 100000" in cell.reason) for cell in made.cells] == [
        ("plain", False),
        ("huge", True),
    ]
    with pytest.raises(UsageError, match="gan × non-saturating × huge: batch_size"):
        plan(catalogue, variants={"huge": {"batch_size": 100_000}})


def test_the_documented_example_can_be_planned(catalogue: Catalogue, tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "running.md").read_text(encoding="utf-8")
    section = docs.partition("## Variants")[2].partition("\n## ")[0]
    example = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    ") or not line)
    made = make_plan(read(tmp_path, example), catalogue, "cpu")
    assert len(made.cells) == 2 * 4 * 3 - 3  # for gan, 'wide' equals 'plain'
    assert list(dict.fromkeys(cell.variant for cell in made.cells)) == ["plain", "averaged", "averaged-flipped", "wide"]
