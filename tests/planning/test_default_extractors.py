"""The data choose the extractor of the default distance: one made for them, Inception, or one that learns from them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

import genbench
from genbench.errors import UsageError
from genbench.planning.default_extractors import default_extractors
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import LoadedPlugin, Plugin, builtin_plugins, load_plugin

FASHION, DIGITS, PHOTOS = (1, 28, 28), (1, 28, 28), (3, 32, 32)


def dataset(name: str, shape: tuple[int, int, int] = PHOTOS, **more: Any) -> genbench.DatasetSpec:
    return genbench.DatasetSpec(name=name, image_shape=shape, load=len, **more)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    plugin = Plugin("acme", "entry-point", "acme", "acme", "1.0")
    datasets = [dataset("photos"), dataset("digits", DIGITS), dataset("cloud", (2, 1, 1), points=True)]
    builtin = [load_plugin(one) for one in builtin_plugins()]
    return combine([*builtin, LoadedPlugin(plugin, {"datasets": datasets})])


def plan(catalogue: Catalogue, datasets: str, device: str = "cpu", at_hand: bool = False, **given: Any) -> Plan:
    request = make_request({"models": "gan", "datasets": datasets, "profile": "smoke", **given}, ())
    return make_plan(request, catalogue, device, at_hand)


@pytest.mark.parametrize(
    ("name", "shape", "device", "at_hand", "expected", "reason"),
    [
        ("fashion-mnist-mini", FASHION, "cpu", True, "fashion-cnn", ""),
        ("fashion-mnist", FASHION, "cuda", True, "fashion-cnn", ""),
        ("photos", PHOTOS, "cuda", True, "inception", "Inception's weights are at hand"),
        ("photos", PHOTOS, "cuda", False, "learned", "weights are not at hand; --metrics fid"),
        ("photos", PHOTOS, "cpu", True, "learned", "minutes per thousand images on a CPU; --metrics fid"),
        ("digits", DIGITS, "cuda", True, "learned", "trained on photographs in colour; --metrics fid"),
    ],
)
def test_the_data_choose(
    catalogue: Catalogue, name: str, shape: Any, device: str, at_hand: bool, expected: str, reason: str
) -> None:
    known = [entry.spec for entry in catalogue.extractors.values()]
    found = default_extractors(known, dataset(name, shape), shape, device, at_hand)
    assert list(found) == [expected]
    assert (reason in found[expected]) if reason else (found[expected] == "")


def test_an_extractor_of_a_plugin_is_used_in_addition_or_alone_on_what_it_was_made_for() -> None:
    general = genbench.ExtractorSpec(name="net", load=len)
    special = genbench.ExtractorSpec(name="pet-net", load=len, made_for=("pets",))
    unnamed = genbench.ExtractorSpec(name="big-net", load=len, default=False, made_for=("pets",))
    learned = genbench.ExtractorSpec(name="learned", load=len, default=False)
    known = [general, special, unnamed, learned]
    assert list(default_extractors(known, dataset("pets"), PHOTOS, "cpu", False)) == ["net", "pet-net"]
    assert list(default_extractors(known, dataset("photos"), PHOTOS, "cpu", False)) == ["learned", "net"]


def test_made_for_is_a_list_of_names() -> None:
    with pytest.raises(genbench.SpecError, match="made_for must be a tuple of names"):
        genbench.ExtractorSpec(name="net", load=len, made_for="pets")  # type: ignore[arg-type]


def test_each_dataset_of_a_plan_has_its_own_distance_and_its_reason(catalogue: Catalogue) -> None:
    made = plan(catalogue, "fashion-mnist-mini,photos,digits", "cuda", at_hand=True)
    distances = {
        cell.identity.dataset.name: [name for name in cell.identity.metrics if name.startswith(("fd", "fid"))]
        for cell in made.cells
    }
    assert distances == {"fashion-mnist-mini": ["fd-fashion-cnn"], "photos": ["fid"], "digits": ["fd-learned"]}
    reasons = {reference.dataset.name: reference.extractor_reasons for reference in made.references}
    assert reasons["fashion-mnist-mini"] is UNSET
    assert {name: [*found] for name, found in reasons.items() if found} == {
        "photos": ["inception"],
        "digits": ["learned"],
    }


def test_a_measurement_without_an_extractor_uses_that_of_the_data(catalogue: Catalogue) -> None:
    def metrics(datasets: str, **given: Any) -> list[str]:
        return [*plan(catalogue, datasets, **given).cells[0].identity.metrics]

    assert metrics("photos", metrics="kd,prdc") == ["kd-learned", "prdc-learned"]
    assert metrics("photos", metrics="kd,class-score", device="cuda", at_hand=True) == ["kid", "is"]
    assert metrics("photos", metrics="class-score,fd-fashion-cnn") == ["class-score-classifier", "fd-fashion-cnn"]
    assert metrics("fashion-mnist-mini", metrics="kd") == ["kd-fashion-cnn"]
    assert metrics("cloud", metrics="kd,diversity") == ["diversity"]


def test_a_named_distance_needs_no_reason(catalogue: Catalogue) -> None:
    (reference,) = plan(catalogue, "photos", metrics="fd-self-supervised").references
    assert reference.extractor_reasons is UNSET
    assert reference.metrics == ("fd-self-supervised",)


def test_a_longer_profile_measures_fid_once(catalogue: Catalogue) -> None:
    metrics = plan(catalogue, "photos", "cuda", at_hand=True, profile="standard").cells[0].identity.metrics
    assert metrics.count("fid") == 1
    assert "fd-learned" not in metrics
    assert {"fid", "fd-learned"} <= {*plan(catalogue, "photos", profile="standard").cells[0].identity.metrics}


def test_the_distance_of_other_data_cannot_be_a_target_unless_it_is_named(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match="target 'fd-fashion-cnn' is not measured in this run") as raised:
        plan(catalogue, "photos", target=["fd-fashion-cnn=40"])
    assert "fd-learned" in raised.value.cure
    named = plan(catalogue, "photos", target=["fd-fashion-cnn=40"], metrics="fd-fashion-cnn")
    assert [target.metric for target in named.targets] == ["fd-fashion-cnn"]
