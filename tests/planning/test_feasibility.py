"""Combinations that cannot work are skipped with the reason, and the other cells are planned."""

from __future__ import annotations

from pathlib import Path

import pytest

import genbench
from genbench.api.discriminators import unfit_output
from genbench.api.recipe import Recipe
from genbench.errors import SpecError, UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine, discover
from genbench.plugins.loader import LoadedPlugin, Plugin, builtin_plugins, load_plugin


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def plan(catalogue: Catalogue, *settings: str, device: str = "cpu", **given: object) -> Plan:
    return make_plan(make_request({"models": "gan", **given}, settings), catalogue, device)


def reasons(made: Plan) -> dict[str, str]:
    return {cell.identity.loss.name: cell.reason for cell in made.cells}


def test_ada_with_a_critic_is_skipped_and_the_other_losses_are_planned(catalogue: Catalogue) -> None:
    losses = "non-saturating,wgan,wgan-gp,relativistic,rpgan-r1-r2"
    found = reasons(plan(catalogue, losses=losses, augment_discriminator="ada"))
    assert found.pop("non-saturating") == ""
    for loss, reason in found.items():
        assert reason.startswith(f"loss '{loss}' does not work with augment_discriminator = ada: ADA counts")
    assert set(reasons(plan(catalogue, losses=losses, augment_discriminator="diffaugment")).values()) == {""}


def test_a_restriction_may_depend_on_an_option(catalogue: Catalogue) -> None:
    given = {"losses": "non-saturating,weighted", "augment_discriminator": "ada"}
    assert reasons(plan(catalogue, **given))["weighted"] == ""
    assert "no decision boundary" in reasons(plan(catalogue, "weighted.game=relativistic", **given))["weighted"]


def test_losses_and_discriminators_that_do_not_fit_are_skipped_and_the_others_are_planned(catalogue: Catalogue) -> None:
    made = plan(catalogue, models="gan,acgan,began", losses="hinge,lecam,began,ebgan")
    found = {(cell.identity.model.name, cell.identity.loss.name): cell.reason for cell in made.cells}
    possible = {(m, loss) for m in ("gan", "acgan") for loss in ("hinge", "lecam")} | {
        ("began", "began"),
        ("began", "ebgan"),
    }
    assert {pair for pair, reason in found.items() if not reason} == possible
    assert (
        found["acgan", "ebgan"]
        == "loss 'ebgan' takes reconstructions, the discriminator of 'acgan' returns class-logits"
    )
    assert found["began", "lecam"] == (
        "loss 'lecam' takes logits or class-logits or features or scales, the discriminator of 'began' returns "
        "coded-reconstructions"
    )


@pytest.mark.parametrize(
    ("returned", "taken", "fits"),
    [
        ("", (), True),
        ("", ("class-logits",), True),  # a pair of version 1.0 has class logits
        ("", ("features",), False),
        ("features", (), True),  # of which the loss gets the logits
        ("scales", (), True),
        ("scales", ("logits",), False),
        ("reconstructions", (), False),
        ("reconstructions", ("logits", "reconstructions"), True),
        ("coded-reconstructions", ("reconstructions",), True),
        ("coded-reconstructions", (), False),
        ("reconstructions", ("coded-reconstructions",), False),
        ("logits", ("features",), False),
    ],
)
def test_declared_and_undeclared_kinds_of_outputs(returned: str, taken: tuple[str, ...], fits: bool) -> None:
    assert unfit_output(returned, taken) != fits


def test_unknown_kinds_of_outputs_are_refused() -> None:
    common = {"family": "adversarial", "name": "mine"}
    with pytest.raises(SpecError, match=r"discriminator_output must be one of 'logits', .* not 'logit'"):
        genbench.ModelSpec(build=len, default_loss="x", discriminator_output="logit", **common)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"the unknown kind \['maps'\]; the kinds are logits, class-logits"):
        genbench.LossSpec(create=len, discriminator_outputs=("logits", "maps"), **common)  # type: ignore[arg-type]


def test_only_the_eager_engine_runs_in_several_processes(catalogue: Catalogue) -> None:
    assert reasons(plan(catalogue, nproc=2, engine="eager")) == {"non-saturating": ""}
    assert reasons(plan(catalogue, engine="graph")) == {"non-saturating": ""}
    with pytest.raises(UsageError, match="engine 'graph' runs in one process only; with --nproc use --engine eager"):
        plan(catalogue, nproc=2, engine="graph")


def with_model(*restrictions: genbench.Restriction) -> Catalogue:
    """Return the built-in plugins and one with the model 'picky', a GAN with these restrictions."""
    spec = genbench.ModelSpec(
        name="picky",
        family="adversarial",
        build="genbench.builtin.models.adversarial.gan:build",
        default_loss="non-saturating",
        restrictions=restrictions,
    )
    plugin = LoadedPlugin(Plugin("acme", "entry-point", "acme", "acme", "1.0"), {"models": [spec]})
    return combine([*(load_plugin(one) for one in builtin_plugins()), plugin])


@pytest.mark.parametrize(
    ("restriction", "works", "fails"),
    [
        ({"setting": "batch_size", "minimum": 32}, {"batch_size": 32}, {"batch_size": 16}),
        ({"setting": "batch_size", "maximum": 32}, {"batch_size": 32}, {"batch_size": 64}),
        ({"setting": "precision", "allows": ("fp32",)}, {"precision": "fp32"}, {"precision": "bf16"}),
        ({"setting": "nproc", "maximum": 1}, {"nproc": 1}, {"nproc": 2}),
    ],
)
def test_values_are_excluded_by_name_or_by_bounds(
    restriction: dict[str, object], works: dict[str, object], fails: dict[str, object]
) -> None:
    among = with_model(genbench.Restriction(reason="it was built for this alone", **restriction))  # type: ignore[arg-type]
    assert [cell.reason for cell in plan(among, models="picky", **works).cells] == [""]
    skipped, other = plan(among, models="picky,gan", **fails).cells
    assert skipped.reason.endswith("it was built for this alone")
    assert skipped.reason.startswith("model 'picky' does not work with ")
    assert other.reason == ""


def test_a_device_may_be_excluded() -> None:
    among = with_model(genbench.Restriction(setting="device", allows=("cuda",), reason="its kernels are CUDA"))
    assert plan(among, models="picky", device="cuda").cells[0].reason == ""
    assert plan(among, models="picky,gan").cells[0].reason == (
        "model 'picky' does not work with device = cpu: its kernels are CUDA"
    )


def test_restrictions_of_a_third_party_plugin_reach_the_planning_process(tmp_path: Path) -> None:
    file = tmp_path / "critics.py"
    file.write_text(
        "import genbench\n\n\ndef create(options):\n    raise RuntimeError\n\n\n@genbench.hookimpl\n"
        "def genbench_losses():\n    yield genbench.LossSpec(name='critic', family='adversarial', create=create,\n"
        "        restrictions=(genbench.Restriction(setting='augment_discriminator', excludes=('ada',), "
        "reason='no boundary'),))\n",
        encoding="utf-8",
    )
    made = plan(discover([file]), losses="critic,hinge", augment_discriminator="ada")
    assert reasons(made)["critic"] == "loss 'critic' does not work with augment_discriminator = ada: no boundary"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"setting": "batch_sise", "minimum": 2}, r"'batch_sise'. Did you mean 'batch_size'\?"),
        ({"setting": "precision", "excludes": ("bf61",)}, "invalid value: .*bf61.*Did you mean 'bf16'"),
        ({"setting": "precision", "excludes": "bf16"}, "not a tuple"),
        ({"setting": "precision"}, "which values do not work"),
        ({"setting": "precision", "excludes": ("bf16",), "allows": ("fp32",)}, "which values do not work"),
        ({"setting": "precision", "minimum": 1}, "not numbers"),
        ({"setting": "nproc", "maximum": 1, "reason": " "}, "no reason"),
    ],
)
def test_an_invalid_restriction_is_rejected(given: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        genbench.Restriction(**{"reason": "it does not converge", **given})  # type: ignore[arg-type]


def test_a_restriction_that_depends_on_an_unknown_option_is_rejected() -> None:
    with pytest.raises(SpecError, match="depends on the unknown option 'width'"):
        with_model(genbench.Restriction(setting="nproc", maximum=1, reason="why", options={"width": 8}))


def test_a_restriction_applies_only_with_its_options() -> None:
    restriction = genbench.Restriction(setting="nproc", maximum=1, reason="why", options={"game": "hinge"})
    assert restriction.violation(Recipe(nproc=2), "cpu", {"game": "hinge"}) == "nproc = 2"
    assert restriction.violation(Recipe(nproc=2), "cpu", {"game": "minimax"}) == ""
    assert restriction.violation(Recipe(nproc=1), "cpu", {"game": "hinge"}) == ""
