"""The plan: the requested cells in order, and the reason why a combination is impossible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import genbench
from genbench.api.specs import Spec
from genbench.errors import ExitCode, UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.profiles import PROFILES
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import (
    Kind,
    LoadedPlugin,
    Plugin,
    builtin_plugins,
    load_plugin,
)

BUILTIN = [load_plugin(plugin) for plugin in builtin_plugins()]


@dataclass(frozen=True)
class Width:
    width: int = genbench.option(8, minimum=1)


@dataclass(frozen=True)
class Size:
    size: int = genbench.option(28, minimum=8)


def catalogue(*, reason: str = "", registers: dict[str, list[str]] | None = None, **specs: list[Spec]) -> Catalogue:
    """Return the built-in catalogue with one more plugin."""
    plugin = Plugin("acme", "entry-point", "acme", "acme", "1.0", registers or {}, reason)
    kinds: dict[Kind, list[Spec]] = dict(specs)  # type: ignore[arg-type]
    return combine([*BUILTIN, LoadedPlugin(plugin, kinds)] if specs or reason else BUILTIN)


def plan(*settings: str, among: Catalogue | None = None, **given: Any) -> Plan:
    return make_plan(make_request(given, settings), among or catalogue(), "cpu")


def names(made: Plan) -> list[str]:
    return [
        f"{c.identity.model.name} {c.identity.loss.name} {c.identity.dataset.name} {c.identity.seed}"
        for c in made.cells
    ]


def reasons(made: Plan) -> dict[str, str]:
    return {f"{c.identity.model.name} {c.identity.loss.name}": c.reason for c in made.cells}


def model(name: str = "m", **fields: Any) -> genbench.ModelSpec:
    return genbench.ModelSpec(
        **{"name": name, "family": "adversarial", "build": len, "default_loss": "minimax", **fields}
    )


def test_cells_are_ordered_by_dataset_model_loss_and_seed() -> None:
    made = plan(
        models="dcgan,gan", losses="minimax,non-saturating", datasets="fashion-mnist,fashion-mnist-mini", seeds="1,0"
    )
    assert names(made) == [
        f"{model} {loss} {dataset} {seed}"
        for dataset in ("fashion-mnist", "fashion-mnist-mini")
        for model in ("dcgan", "gan")
        for loss in ("minimax", "non-saturating")
        for seed in (1, 0)
    ]
    assert len({cell.id for cell in made.cells}) == len(made.cells) == 16


def test_each_precision_makes_a_cell_and_the_setting_of_one_model_wins() -> None:
    made = plan("vae.precision=fp32", models="gan,vae", precision="bf16,fp32")
    found = [(c.identity.model.name, c.identity.recipe["precision"]) for c in made.cells]
    assert found == [("gan", "bf16"), ("gan", "fp32"), ("vae", "fp32")]
    assert plan(models="gan", precision=["bf16"]).cells[0].identity.recipe["precision"] == "bf16"
    with pytest.raises(UsageError, match="precision = 'fp8' is not one of fp32, tf32, bf16"):
        plan(models="gan", precision="fp8")


def test_without_losses_each_model_has_its_default() -> None:
    pairs = ("dcgan non-saturating", "dcgan-vae elbo", "gan non-saturating", "vae elbo")
    assert names(plan()) == [f"{pair} fashion-mnist-mini 0" for pair in pairs]


def test_a_loss_of_another_family_is_a_reason_and_the_other_cells_are_planned() -> None:
    made = plan(models="gan,vae", losses="minimax")
    assert reasons(made)["gan minimax"] == ""
    assert reasons(made)["vae minimax"] == "loss 'minimax' is adversarial, model 'vae' is variational"
    assert [cell.identity.model.name for cell in made.possible] == ["gan"]


def test_an_unsupported_image_size_names_the_supported_ones() -> None:
    made = plan("synthetic.size=48", models="gan,dcgan", datasets="synthetic")
    reason = reasons(made)["dcgan non-saturating"]
    assert "dataset 'synthetic' has 3×48×48; choose one with --set synthetic.size=… (28, 32, 64, 128)" in reason
    assert reasons(made)["gan non-saturating"] == ""
    fixed = plan("synthetic.size=28", models="dcgan", datasets="synthetic")
    assert fixed.cells[0].identity.image_shape == (3, 28, 28)


def test_a_dataset_whose_size_is_fixed_gets_no_hint() -> None:
    among = catalogue(datasets=[genbench.DatasetSpec(name="tall", image_shape=(1, 40, 20), load=len)])
    reason = reasons(plan(models="gan,dcgan", datasets="tall", among=among))["dcgan non-saturating"]
    assert reason.endswith("dataset 'tall' has 1×40×20")


def test_a_batch_larger_than_the_dataset_names_the_largest_possible() -> None:
    with pytest.raises(UsageError, match="use --batch-size 8000 or less"):
        plan(models="gan", batch_size=8001)
    assert plan(models="gan", batch_size=8000).possible
    made = plan("gan.batch_size=9000", models="gan,dcgan")
    assert [bool(reason) for reason in reasons(made).values()] == [True, False]


def test_a_conditional_model_needs_labels() -> None:
    bare = genbench.DatasetSpec(name="bare", image_shape=(1, 28, 28), load=len, train_size=100)
    unknown = genbench.DatasetSpec(name="unknown", image_shape=(1, 28, 28), load=len)
    among = catalogue(models=[model(conditional=True)], datasets=[bare, unknown])
    made = plan(models="m,gan", datasets="bare,unknown,fashion-mnist-mini", among=among)
    assert [cell.reason for cell in made.cells if cell.identity.model.name == "m"] == [
        "model 'm' needs labels, dataset 'bare' has none", "", "",
    ]  # fmt: skip


def test_an_unregistered_family_is_a_reason() -> None:
    among = catalogue(models=[model(family="flow")])
    assert reasons(plan(models="m,gan", among=among))["m minimax"].endswith("'flow', which no plugin registers")


def test_an_unregistered_default_loss_names_the_model() -> None:
    among = catalogue(models=[model(default_loss="minmax")])
    with pytest.raises(UsageError, match=r"default loss of the model 'm'.*'minmax'\. Did you mean 'minimax'"):
        plan(models="m", among=among)
    assert plan(models="m", losses="minimax", among=among).possible


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"models": "dcgna"}, r"Unknown model 'dcgna'\. Did you mean 'dcgan'\?"),
        ({"models": "gan,DCGAN"}, r"Unknown model 'DCGAN'\. Did you mean 'dcgan'\?"),
        ({"losses": "minmax"}, r"Unknown loss 'minmax'\. Did you mean 'minimax'\?"),
        ({"datasets": "fashion-mnist-min"}, "Did you mean 'fashion-mnist-mini'"),
        ({"metrics": "psrn"}, r"Unknown metric 'psrn'\. Did you mean 'psnr'\?"),
        ({"profile": "quik"}, r"Unknown profile 'quik'\. Did you mean 'quick'\?"),
    ],
)
def test_unknown_names_get_a_suggestion_and_the_list(given: dict[str, str], cause: str) -> None:
    with pytest.raises(UsageError, match=cause) as error:
        plan(**given)
    assert "gan, " in error.value.cure or ": " in error.value.cure


def test_if_nothing_is_possible_every_reason_is_listed() -> None:
    with pytest.raises(UsageError, match="None of the 2 requested cells is possible") as error:
        plan(models="vae,conv-vae", losses="minimax")
    assert error.value.exit_code == ExitCode.USAGE == 2
    assert error.value.cure.count("loss 'minimax' is adversarial") == 2


def test_the_text_after_a_colon_is_the_argument_of_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my photos/a:b", "a", "b", "here"):
        (tmp_path / name).mkdir(parents=True)
    made = plan(models="gan", datasets="folder:my photos/a:b")
    assert made.cells[0].identity.dataset.options["path"] == "my photos/a:b"
    assert len(plan(models="gan", datasets="folder:a,folder:b").cells) == 2
    assert plan("folder.path=here", models="gan", datasets="folder").cells[0].identity.dataset.options["path"] == "here"


def test_an_unexpected_or_missing_argument_is_rejected() -> None:
    with pytest.raises(UsageError, match="does not accept a `:argument` suffix") as error:
        plan(datasets="fashion-mnist:train")
    assert error.value.cure == "Write fashion-mnist instead of fashion-mnist:train."
    for text in ("folder", "folder:"):
        with pytest.raises(UsageError, match="needs its path") as error:
            plan(datasets=text)
        assert error.value.cure == "Write folder:PATH."


@pytest.mark.parametrize(
    ("dataset", "setting", "cause", "cure"),
    [
        (
            "folder:photso",
            "",
            "The folder photso does not exist. Did you mean 'photos'?",
            "folder.path; the path is re",
        ),
        ("image-folder:nowhere/photos", "", "The folder nowhere/photos does not exist.", "Check image-folder.path"),
        ("folder:a.png", "", "a.png is a file, not a folder.", "Set folder.path to the folder, such as ."),
        ("folder:" + "x" * 300, "", "cannot be read", "Check folder.path."),
        ("cifar10", "cifar10.root=/nowhere/at/all", "The folder /nowhere/at/all does not exist.", "cifar10.root."),
    ],
)
def test_a_missing_folder_is_found_while_planning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, setting: str, cause: str, cure: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UsageError) as error:
        plan(*[setting] if setting else [], models="gan", datasets=dataset)
    assert cause in error.value.cause
    assert cure in error.value.cure


@pytest.mark.parametrize("profile", ["smoke", "quick"])
def test_a_short_profile_gives_every_model_the_same_budget_and_batch(profile: str) -> None:
    recipes = [cell.identity.recipe for cell in plan(profile=profile, models="gan,dcgan,vae,conv-vae").cells]
    assert {(r["batch_size"], r["images"]) for r in recipes} == {
        (PROFILES[profile].recipe["batch_size"], PROFILES[profile].recipe["images"])
    }


def test_the_more_specific_setting_wins() -> None:
    def batch(*settings: str, **given: Any) -> object:
        return plan(*settings, models="vae", **given).cells[0].identity.recipe["batch_size"]

    assert batch(profile="standard") == 128  # the model's own
    assert batch(profile="quick") == 32
    assert batch(profile="quick", batch_size=16) == 16
    assert batch("vae.batch_size=8", profile="quick", batch_size=16) == 8


def test_a_loss_changes_only_the_recipe_of_its_own_cells() -> None:
    wgan = genbench.LossSpec(name="wgan", family="adversarial", create=len, recipe={"discriminator_steps": 5})
    made = plan(models="gan", losses="minimax,wgan", among=catalogue(losses=[wgan]))
    assert [cell.identity.recipe["discriminator_steps"] for cell in made.cells] == [1, 5]


def test_settings_reach_only_what_they_name() -> None:
    made = plan("dcgan.width=16", "dcgan.latent-dim=7", "vae.learning_rate=1", "elbo.beta=4", models="dcgan,vae")
    dcgan, vae = (cell.identity for cell in made.cells)
    assert (dcgan.model.options, dcgan.latent_dim) == ({"width": 16}, 7)
    assert (vae.model.options, vae.latent_dim) == ({"hidden": 400}, 20)
    assert (dcgan.recipe["learning_rate"], vae.recipe["learning_rate"]) == (2e-4, 1.0)
    assert vae.loss.options["beta"] == 4.0


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("dcgan.widht=3", r"Unknown option dcgan\.widht\. Did you mean 'width'\?"),
        ("dcgan.batchsize=3", r"Unknown option dcgan\.batchsize\. Did you mean 'batch_size'\?"),
        ("dcgan.width=1", r"dcgan\.width = 1 is out of range"),
        ("dcgan.width=wide", r"dcgan\.width = 'wide' is not of type int"),
        ("dcgan.latent_dim=0", r"dcgan\.latent_dim = 0 is not a positive integer"),
        ("dcgan.latent_dim=true", r"dcgan\.latent_dim = True is not a positive integer"),
        ("non-saturating.beta=1", r"Unknown option non-saturating\.beta"),
        ("vae.hidden=8", "'vae' is not used in this run"),
        ("dcgna.width=8", r"nothing is named 'dcgna'\. Did you mean 'dcgan'\?"),
        ("recipe.batch_size=8", "--set recipe.… is not valid"),
    ],
)
def test_a_setting_without_effect_is_rejected(setting: str, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        plan(setting, models="dcgan")


def test_a_model_and_a_loss_may_share_a_name_and_each_receives_its_own_options() -> None:
    specs: dict[str, Any] = {
        "models": [model("twin", options=Width, default_loss="twin")],
        "losses": [genbench.LossSpec(name="twin", family="adversarial", create=len, options=Size)],
    }
    among = catalogue(**specs)
    identity = plan("twin.width=2", "twin.size=9", models="twin", among=among).cells[0].identity
    assert (identity.model.options, identity.loss.options) == ({"width": 2}, {"size": 9})
    with pytest.raises(UsageError, match=r"Unknown option twin\.depth"):
        plan("twin.depth=2", models="twin", among=among)
    with pytest.raises(UsageError, match=r"Unknown option twin\.size"):  # the loss that has it is not used
        plan("twin.size=9", models="twin", losses="minimax", among=among)


def test_metrics_by_default_by_name_all_distances_and_none() -> None:
    def metrics(profile: str = "quick", **given: Any) -> list[tuple[str, ...]]:
        return [cell.identity.metrics for cell in plan(models="gan,vae", profile=profile, **given).cells]

    gan, vae = metrics()
    assert "fd-fashion-cnn" in gan and "fid" not in gan
    assert set(vae) - set(gan) == {"psnr", "reconstruction-mse", "ssim"}
    assert "fid" in metrics("standard")[0]
    assert metrics(metrics="fd") == [("fd-fashion-cnn",), ("fd-fashion-cnn",)]
    assert metrics(metrics="fid,psnr,fid") == [("fid",), ("fid", "psnr")]
    assert metrics(metrics="none") == [(), ()]


def test_nothing_is_measured_on_synthetic_data() -> None:
    made = plan(models="gan", datasets="synthetic")
    assert made.cells[0].identity.metrics == ()
    assert made.cells[0].synthetic_data
    assert made.references == []


def test_one_reference_for_each_dataset_with_every_metric_of_its_cells() -> None:
    made = plan(models="gan,vae", datasets="fashion-mnist,fashion-mnist-mini", seeds="0,1")
    assert [reference.dataset.name for reference in made.references] == ["fashion-mnist", "fashion-mnist-mini"]
    for reference in made.references:
        assert {"fd-fashion-cnn", "psnr"} <= set(reference.metrics)
        assert reference.samples == PROFILES["quick"].recipe["samples"]
    assert len(plan("gan.samples=50", models="gan,vae").references) == 2
    assert plan(metrics="none").references == []


def test_an_impossible_cell_needs_no_reference() -> None:
    among = catalogue(datasets=[genbench.DatasetSpec(name="tiny", image_shape=(1, 28, 28), load=len, train_size=4)])
    made = plan(models="gan", datasets="tiny,fashion-mnist-mini", among=among)
    assert [reference.dataset.name for reference in made.references] == ["fashion-mnist-mini"]


def test_only_plugins_that_the_cells_need_are_loaded_by_a_worker() -> None:
    among = catalogue(losses=[genbench.LossSpec(name="acme-hinge", family="adversarial", create=len)])
    assert plan(models="gan", among=among).plugins == []
    assert [plugin.name for plugin in plan(models="gan", losses="acme-hinge", among=among).plugins] == ["acme"]


def test_settings_for_a_quarantined_name_give_the_reason() -> None:
    among = catalogue(reason="it is broken", registers={"models": ["lost"], "families": ["flow"]})
    with pytest.raises(UsageError, match=r"'lost' is registered by the plugin acme .*quarantined: it is broken"):
        plan("lost.width=3", models="gan", among=among)


def test_a_quarantined_family_is_the_reason_for_its_models() -> None:
    among = catalogue(reason="it is broken", registers={"families": ["flow"]})
    own = Plugin("own", "entry-point", "own", "own", "1.0")
    among = combine([*BUILTIN, LoadedPlugin(own, {"models": [model(family="flow")]})])
    among.plugins.append(Plugin("acme", "entry-point", "acme", "acme", "1.0", {"families": ["flow"]}, "it is broken"))
    reason = reasons(plan(models="m,gan", among=among))["m minimax"]
    assert reason.endswith("family 'flow' of the plugin acme (acme 1.0), which is quarantined: it is broken.")


def test_a_misspelt_family_gets_a_suggestion() -> None:
    reason = reasons(plan(models="m,gan", among=catalogue(models=[model(family="adversarail")])))["m minimax"]
    assert reason.endswith("which no plugin registers. Did you mean 'adversarial'?")


@pytest.mark.parametrize(
    ("registers", "text", "what"),
    [
        ({"models": ["gan"]}, "", "the model 'gan'"),  # which resolves to the built-in model
        ({"losses": ["non-saturating"]}, "", "the loss 'non-saturating'"),
        ({"metrics": ["diversity"]}, "", "the metric 'diversity'"),
        ({}, "ModelSpec(name='gan', ", "'gan'"),  # it failed before it registered anything
    ],
)
def test_a_quarantined_plugin_file_of_which_something_was_asked_is_an_error(
    registers: dict[str, list[str]], text: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    among = catalogue()
    among.plugins.append(Plugin("mine", "file", str(path), "mine.py", "0a1b", registers, reason="it is broken"))
    with pytest.raises(UsageError, match=f"was given for {what}, but it cannot be used: .* quarantined: it is broken"):
        plan(models="gan", metrics="diversity", among=among)
    (warning,) = plan(models="vae", losses="elbo", metrics="psnr", among=among).warnings
    assert "nothing is used of the plugin mine" in warning


def test_a_quarantined_plugin_file_is_a_warning() -> None:
    among = catalogue()
    among.plugins.append(Plugin("mine", "file", "/home/mine.py", "mine.py", "0a1b", reason="SyntaxError: '('"))
    (warning,) = plan(models="gan", among=among).warnings
    assert warning == "nothing is used of the plugin mine (mine.py 0a1b), which is quarantined: SyntaxError: '('."


def test_a_model_cannot_have_an_option_that_every_model_has() -> None:
    @dataclass(frozen=True)
    class Clash:
        images: int = genbench.option(1)

    (plugin,) = [p for p in catalogue(models=[model(options=Clash)]).plugins if p.name == "acme"]
    assert plugin.reason == "'m' declares the option 'images', which every model already has"


def test_tf32_is_planned_for_a_gpu_and_skipped_with_a_reason_on_a_cpu() -> None:
    request = make_request({"models": "gan", "precision": "fp32,tf32"})
    assert [bool(cell.reason) for cell in make_plan(request, catalogue(), "cuda").cells] == [False, False]
    single, rounded = make_plan(request, catalogue(), "cpu").cells
    assert not single.reason
    assert "tf32" in rounded.reason
    with pytest.raises(UsageError, match="use fp32 or bf16 on a CPU"):
        make_plan(make_request({"models": "gan", "precision": "tf32"}), catalogue(), "cpu")


def test_a_plan_records_what_it_changes_from_the_defaults() -> None:
    made = plan("gan.width=32", "gan.latent_dim=8", models="gan,vae", learning_rate=1e-3, images=64)
    gan, vae = made.cells
    assert {"gan.width", "latent_dim", "learning_rate", "images"} == set(gan.changed)
    assert set(vae.changed) == {"images"}  # 0.001 is the model's own learning rate
    assert plan("gan.width=128", models="gan", learning_rate=2e-4).cells[0].changed == []  # the defaults
