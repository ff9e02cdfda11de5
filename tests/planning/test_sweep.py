"""Settings with several values: one cell for each combination, or for each pair with `--zip`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genbench.cli import invoke
from genbench.errors import UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request, read_config
from genbench.plugins.catalogue import Catalogue, discover

BATCHES_AND_RATES = {"batch_size": [16, 32], "learning_rate": [1e-4, 2e-4]}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def plan(catalogue: Catalogue, *settings: str, **given: Any) -> Plan:
    return make_plan(make_request({"models": "gan", **given}, settings), catalogue, "cpu")


def values(made: Plan, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(cell.identity.recipe[name] for name in names) for cell in made.cells]


def test_lists_of_recipe_fields_are_crossed_in_order(catalogue: Catalogue) -> None:
    crossed = [(16, 1e-4), (16, 2e-4), (32, 1e-4), (32, 2e-4)]
    made = plan(catalogue, **BATCHES_AND_RATES)
    assert values(made, "batch_size", "learning_rate") == crossed
    assert made.swept == ["batch_size", "learning_rate"]
    seeds = plan(catalogue, **BATCHES_AND_RATES, seeds=[0, 1], precision="fp32,bf16")
    assert len({cell.id for cell in seeds.cells}) == 16


def test_a_cell_has_the_id_that_it_has_outside_a_sweep(catalogue: Catalogue) -> None:
    made = plan(catalogue, "gan.width=8,16", **BATCHES_AND_RATES)
    (alone,) = plan(catalogue, "gan.width=16", batch_size=32, learning_rate=1e-4).cells
    assert alone.id in {cell.id for cell in made.cells}


def test_zip_pairs_lists(catalogue: Catalogue) -> None:
    pairs = [(16, 1e-4), (32, 2e-4)]
    for zipped in ("batch_size,learning-rate", ["batch_size", "learning_rate"], [["batch_size", "learning_rate"]]):
        made = plan(catalogue, **BATCHES_AND_RATES, zip=zipped)
        assert values(made, "batch_size", "learning_rate") == pairs
    widths = plan(catalogue, "gan.width=8,16", batch_size=[16, 32], zip=["batch_size,gan.width"], seeds=[0, 1])
    assert [(c.identity.model.options["width"], c.identity.recipe["batch_size"]) for c in widths.cells] == [
        (8, 16), (8, 16), (16, 32), (16, 32),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zip": "batch_size,learning_rat"}, r"'learning_rat' has no list of values. Did you mean 'learning_rate'"),
        ({"zip": "batch_size"}, "names one setting only"),
        ({"zip": ["batch_size,learning_rate", "batch_size,learning_rate"]}, "twice"),
        ({"zip": "batch_size,learning_rate", "batch_size": [1, 2, 3]}, "batch_size has 3, learning_rate has 2"),
        ({"zip": 3}, "is not a list of names"),
    ],
)
def test_an_impossible_pairing_is_refused(catalogue: Catalogue, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(catalogue, **(BATCHES_AND_RATES | given))


def test_text_with_commas_means_several_numbers_or_choices(catalogue: Catalogue) -> None:
    made = plan(catalogue, optimizer="adam,sgd", dropout="0.1,0.2")
    assert values(made, "optimizer", "dropout") == [("adam", 0.1), ("adam", 0.2), ("sgd", 0.1), ("sgd", 0.2)]
    with pytest.raises(UsageError, match=r"recipe\.batch_size = 'x' is not of type int"):
        plan(catalogue, batch_size="16,x")
    with pytest.raises(UsageError, match="Did you mean 'adam'"):
        plan(catalogue, optimizer="sgd,adm")
    with pytest.raises(UsageError, match="has no value"):
        plan(catalogue, batch_size=[])


def test_settings_that_are_lists_keep_their_meaning(catalogue: Catalogue) -> None:
    (one,) = plan(catalogue, augment_policy="color,cutout").cells
    assert one.identity.recipe["augment_policy"] == ["color", "cutout"]
    made = plan(catalogue, augment_policy=[["color"], ["color", "cutout"]])
    assert values(made, "augment_policy") == [(["color"],), (["color", "cutout"],)]


def test_text_without_choices_is_not_divided(catalogue: Catalogue) -> None:
    (one,) = plan(catalogue, best_metric="fd-fashion-cnn", evaluate_every=1000).cells
    assert one.identity.recipe["best_metric"] == "fd-fashion-cnn"
    with pytest.raises(UsageError, match="a,b"):
        plan(catalogue, init_from="a,b")  # one path, which does not exist


def test_options_of_models_losses_and_datasets_take_lists(catalogue: Catalogue) -> None:
    made = plan(catalogue, "gan.width=8,16", "gan.latent_dim=[10, 20]", "gan.learning_rate=1e-4,2e-4")
    asked = [cell.identity for cell in made.cells]
    found = [(one.model.options["width"], one.latent_dim, one.recipe["learning_rate"]) for one in asked]
    assert len(found) == len({*found}) == 8
    assert made.swept == ["gan.width", "latent_dim", "learning_rate"]
    losses = plan(catalogue, "elbo.likelihood=bernoulli,gaussian", models="vae")
    assert [c.identity.loss.options["likelihood"] for c in losses.cells] == ["bernoulli", "gaussian"]
    shapes = plan(catalogue, "synthetic.size=16,32", models="dcgan", datasets="synthetic")
    assert {c.identity.image_shape[1] for c in shapes.cells} == {16, 32}
    with pytest.raises(UsageError, match=r"gan\.width"):
        plan(catalogue, "gan.width=8,x")


def test_a_plan_file_takes_arrays_and_variants_go_on_as_they_are(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'models = ["gan"]\nbatch-size = [16, 32]\nlearning_rate = [1e-4, 2e-4]\n'
        'zip = ["batch_size", "learning_rate"]\n[set.gan]\nwidth = [8, 16]\n[variants.plain]\n'
        "[variants.fast]\nlearning_rate = 1e-2\n"
    )
    made = make_plan(make_request(read_config(path)), catalogue, "cpu")
    assert len(made.cells) == 8
    fast = [cell.identity.recipe for cell in made.cells if cell.variant == "fast"]
    assert [(r["batch_size"], r["learning_rate"]) for r in fast] == [(16, 1e-2), (16, 1e-2), (32, 1e-2), (32, 1e-2)]


def test_the_number_of_cells_is_said_first_if_it_is_large(catalogue: Catalogue) -> None:
    made = plan(catalogue, batch_size=[*range(1, 41)], seeds=[0, 1, 2])
    assert made.warnings[0] == "this plan has 120 cells: 40 batch_size × 3 seeds"
    assert plan(catalogue, batch_size=[1, 2]).warnings == []
    numbers = [*range(1, 1001)]
    with pytest.raises(UsageError, match="1,000,000 cells: 1,000 batch_size × 1,000 images"):
        plan(catalogue, batch_size=numbers, images=numbers)


def test_flags_take_several_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--batch-size", "16,x", "--models", "gan"]) == 2
    assert "'x' is not a valid integer" in capsys.readouterr().err
    assert invoke(["run", "--models", "gan", "--batch-size", "16,32", "--zip", "batch_size,seed"]) == 2
    assert "--zip batch_size,seed: 'seed' has no list of values" in capsys.readouterr().err
