"""Targets of training: a metric with a single value, measured often enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.errors import UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request, read_config
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import Target

PLUGIN = """
import genbench

@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(name="pair", measure=lambda evaluation: [], direction="each", default=True)
"""


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    path = tmp_path_factory.mktemp("plugins") / "pair.py"
    path.write_text(PLUGIN)
    return discover([str(path)])


def plan(catalogue: Catalogue, **given: object) -> Plan:
    return make_plan(make_request({"models": "gan,vae", **given}), catalogue, "cpu")


def every(plan: Plan) -> set[object]:
    return {cell.identity.recipe["evaluate_every"] for cell in plan.cells}


def test_a_target_has_the_direction_of_its_metric(catalogue: Catalogue) -> None:
    assert plan(catalogue, target=["psnr=20", "fd-fashion-cnn = 40", "psnr=20"]).targets == [
        Target(metric="psnr", value=20.0, direction="higher"),
        Target(metric="fd-fashion-cnn", value=40.0, direction="lower"),
    ]
    assert plan(catalogue).targets == []


def test_with_a_target_a_model_is_evaluated_after_each_twentieth_of_its_budget(catalogue: Catalogue) -> None:
    assert every(plan(catalogue, target="psnr=20", images=10_000)) == {500}
    assert every(plan(catalogue, target="psnr=20", images=3)) == {1}
    assert every(plan(catalogue, target="psnr=20", evaluate_every=999)) == {999}
    assert every(plan(catalogue, images=10_000)) == {0}
    synthetic = plan(catalogue, target="psnr=20", images=10_000, datasets="synthetic,fashion-mnist-mini")
    assert every(synthetic) == {0, 500}  # nothing is measured on synthetic data


def test_how_often_it_is_evaluated_is_part_of_the_identity(catalogue: Catalogue) -> None:
    asked, given = plan(catalogue, target="psnr=20", images=10_000), plan(catalogue, evaluate_every=500, images=10_000)
    assert [cell.id for cell in asked.cells] == [cell.id for cell in given.cells]
    assert [cell.id for cell in asked.cells] != [cell.id for cell in plan(catalogue, images=10_000).cells]


@pytest.mark.parametrize("setting", ["target", "best_metric"])
@pytest.mark.parametrize(
    ("metric", "cause", "cure"),
    [
        ("psn", "is not a metric. Did you mean 'psnr'?", "Metrics of this run with a single value: fd-fashion-cnn"),
        ("fid", "is not measured in this run", "--metrics"),
        ("pair", "has several values", "with a single value: fd-fashion-cnn"),
    ],
)
def test_an_unusable_target_is_rejected_with_a_remedy(
    catalogue: Catalogue, setting: str, metric: str, cause: str, cure: str
) -> None:
    given = {"target": f"{metric}=3"} if setting == "target" else {"best_metric": metric, "evaluate_every": 100}
    with pytest.raises(UsageError) as error:
        plan(catalogue, **given)
    assert error.value.cause.startswith(f"{setting} '{metric}'")
    assert cause in error.value.cause
    assert cure in str(error.value.cure)
    assert "pair" not in str(error.value.cure)
    assert ("table RUN --target" in str(error.value.cure)) == (setting == "target")


@pytest.mark.parametrize(
    ("metrics", "name", "direction"),
    [
        ("prdc", "recall-fashion-cnn", "higher"),
        ("vendi", "vendi-q2-fashion-cnn", "higher"),
        ("fld", "fld-fashion-cnn", "lower"),  # it has the name of its metric
        ("rarity-learned", "outside-learned", "lower"),
        ("reconstruction-error", "reconstruction-error-95", "lower"),
    ],
)
def test_one_of_several_estimates_is_a_target_and_decides_which_weights_are_best(
    catalogue: Catalogue, metrics: str, name: str, direction: str
) -> None:
    found = plan(catalogue, models="vae", metrics=metrics, target=f"{name}=0.5", best_metric=name)
    assert [(target.metric, target.direction) for target in found.targets] == [(name, direction)]
    assert [cell.reason for cell in found.cells] == [""]


@pytest.mark.parametrize(
    ("name", "cause", "cure"),
    [
        ("prdc-fashion-cnn", "has several values.", "Name one: precision-fashion-cnn, recall-fashion-cnn"),
        ("recal-fashion-cnn", "is not a metric. Did you mean 'recall-fashion-cnn'?", "recall-fashion-cnn"),
        ("recall-k5-n200-fashion-cnn", "is not a metric. Did you mean 'recall-fashion-cnn'?", "recall-fashion-cnn"),
        ("outside-fashion-cnn", "is not measured in this run", "Add it to --metrics"),
    ],
)
def test_an_estimate_that_there_is_not_is_rejected_with_the_nearest_name(
    catalogue: Catalogue, name: str, cause: str, cure: str
) -> None:
    with pytest.raises(UsageError) as error:
        plan(catalogue, metrics="prdc", target=f"{name}=0.5")
    assert cause in error.value.cause
    assert cure in str(error.value.cure)


def test_a_metric_that_no_model_has_is_not_a_target(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match="not measured for any of these models"):
        plan(catalogue, models="gan", target="psnr=20")
    assert plan(catalogue, models="gan,vae", target="psnr=20").targets


@pytest.mark.parametrize("text", ["psnr", "=3", "psnr=", "psnr=many", "psnr=inf", "psnr=nan"])
def test_a_malformed_target_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="is not valid"):
        make_request({"target": text})


def test_a_file_may_set_targets_and_a_flag_overrides_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('target = ["psnr=20", "diversity=0.5"]\n')
    config = read_config(path)
    assert make_request(config).target == (("psnr", 20.0), ("diversity", 0.5))
    assert make_request({**config, "target": ["psnr=21"]}).target == (("psnr", 21.0),)
