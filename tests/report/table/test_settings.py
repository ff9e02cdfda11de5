"""Every setting is said once: in the caption or in a column."""

from __future__ import annotations

import msgspec
from example_runs import cell, identity, plan
from hypothesis import given
from hypothesis import strategies as st

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_SCHEMA, resolve_recipe
from genbench.report.table.settings import Settings, caption, changed_settings, divide, notes_by_peers, row_settings
from genbench.results.schema import CellResult, Choice, PlannedCell, PluginOrigin

USUAL = {option.name: option.default for option in RECIPE_SCHEMA}
NAMES = ("model", "loss", "dataset", "seed", "precision", "learning_rate", "gan.width")
rows_of_settings = st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)), max_size=5)


@given(rows_of_settings)
def test_a_setting_is_shared_or_varies_never_both(rows: list[dict[str, int]]) -> None:
    settings = divide(rows)
    assert not set(settings.shared) & set(settings.varying)
    for name, value in settings.shared.items():
        assert all(row.get(name, value) == value for row in rows)
    for name in settings.varying:
        known = [row.get(name, USUAL.get(name)) for row in rows if name in row or name in USUAL]
        assert len(set(known)) > 1


@given(rows_of_settings)
def test_rows_that_differ_in_what_both_know_look_different(rows: list[dict[str, int]]) -> None:
    complete = [dict.fromkeys(NAMES, 0) | row for row in rows]
    shown = ("model", *divide(complete).varying)
    different = {tuple(sorted(row.items())) for row in complete}
    looks = {tuple(row[name] for name in shown) for row in complete}
    assert len(looks) == len(different)


def test_a_recipe_that_every_row_shares_is_in_the_caption_where_it_is_not_the_usual_one() -> None:
    recipe = resolve_recipe(
        {"augment_discriminator": "ada", "ema_half_life": 10_000, "freeze": ["generator.0.*"]}
    ).settings
    rows: list[dict[str, OptionValue]] = [{"model": model, **recipe} for model in ("gan", "dcgan")]
    assert caption(divide(rows).shared).split(" · ")[-3:] == [
        "augment_discriminator = ada", "ema_half_life = 10000", "freeze = generator.0.*",
    ]  # fmt: skip


def test_the_usual_recipe_adds_nothing_to_the_caption_and_how_one_measures_neither() -> None:
    assert "=" not in caption(resolve_recipe({"energy_seconds": 0.0, "warmup_steps": 3}).settings)


def test_one_of_a_kind_has_no_plural() -> None:
    assert caption({"cores": 1.0, "threads": 1, "images": 1000}).startswith("1 core · 1 thread · 1,000 images")
    assert caption({"cores": 16.0, "threads": 10}).startswith("16 cores · 10 threads")


def test_what_only_one_row_has_is_a_column_and_no_claim_about_all_rows() -> None:
    rows = [{"model": "gan", "seed": 0}, {"model": "gan", "seed": 0, "init_from": "run:gan", "dropout": 0.5}]
    settings = divide(rows)
    assert {"init_from", "dropout"} <= set(settings.varying)
    assert "dropout" not in caption(settings.shared)


def test_paired_settings_of_a_sweep_are_both_columns() -> None:
    rows: list[dict[str, OptionValue]] = [
        {"model": "gan", "batch_size": batch, "learning_rate": rate} for batch, rate in ((16, 1e-4), (32, 2e-4))
    ]
    assert divide(rows).varying == ("batch_size", "learning_rate")  # although one of them tells the rows apart
    assert divide(rows, ["batch_size", "learning_rate"]).varying == ("batch_size", "learning_rate")


def test_what_does_nothing_in_a_family_is_not_in_the_caption() -> None:
    recipe = resolve_recipe({"discriminator_steps": 5, "augment_discriminator": "ada"}).settings
    gan = cell("gan-1", identity("gan", recipe=recipe))
    vae = cell(
        "vae-1", identity("vae", recipe=recipe), unused_settings=["augment_discriminator", "discriminator_steps"]
    )

    def settings(*cells: CellResult) -> Settings:
        record = plan(*cells)
        return divide([row_settings("run", record, p, c) for p, c in zip(record.cells, cells, strict=True)])

    assert "D:G steps 5:1" in caption(settings(gan).shared)
    assert not {"discriminator_steps", "augment_discriminator"} & settings(vae).shared.keys()
    assert "D:G" not in caption(settings(vae).shared)
    assert "D:G" not in caption(settings(gan, vae).shared)  # a claim about one row only
    assert "discriminator_steps" in settings(gan, vae).varying


def test_what_differs_between_models_only_is_noted_and_the_note_says_both_values() -> None:
    rows: list[dict[str, OptionValue]] = [
        {"model": "gan", "loss": "hinge", "dataset": "mini", "learning_rate": 2e-4, "latent_dim": 100},
        {"model": "dcgan", "loss": "hinge", "dataset": "mini", "learning_rate": 2e-4, "latent_dim": 100},
        {"model": "vae", "loss": "elbo", "dataset": "mini", "learning_rate": 1e-3, "latent_dim": 20},
    ]
    settings = divide(rows)
    assert settings.varying == ("loss",)
    assert set(settings.noted) == {"learning_rate", "latent_dim"}
    assert notes_by_peers(rows, settings.noted) == {
        ("vae", "elbo", "mini"): "vae: learning_rate = 0.001, not 0.0002; latent_dim = 20, not 100"
    }


def test_models_with_the_same_settings_share_a_note() -> None:
    rows: list[dict[str, OptionValue]] = [
        {"model": model, "loss": loss, "dataset": "mini", "beta1": beta}
        for model, loss, beta in (("a", "x", 0.5), ("b", "x", 0.5), ("c", "x", 0.9), ("c", "y", 0.0), ("d", "x", 0.9))
    ]
    assert set(notes_by_peers(rows, ["beta1"]).values()) == {
        "c × x, d: beta1 = 0.9, not 0.5",
        "c × y: beta1 = 0, not 0.5",
    }


def test_what_the_plan_changed_is_in_the_caption_even_if_it_is_a_default_elsewhere() -> None:
    shared: dict[str, OptionValue] = {"learning_rate": 2e-4, "gan.width": 32, "gan.depth": 3, "batch_size": 8}
    assert caption(shared, ["gan.width", "learning_rate", "batch_size"]) == (
        "batch 8 · gan.width = 32 · learning_rate = 0.0002"
    )
    assert caption({**shared, "init_from": ""}, ["init_from"]).endswith("init_from = –")


def test_a_run_that_does_not_say_what_its_plan_changed_names_options_unlike_the_defaults() -> None:
    early = PlannedCell(id="gan-1", identity=identity("gan"))  # with a width of 64; the default is 128
    assert changed_settings(early) == ["gan.width"]
    assert changed_settings(msgspec.structs.replace(early, changed=[])) == []
    own = PluginOrigin(plugin="mine", distribution="mine", version="1")
    of_others = msgspec.structs.replace(early.identity, model=Choice(name="gan", options={"width": 64}, origin=own))
    assert changed_settings(msgspec.structs.replace(early, identity=of_others)) == []
