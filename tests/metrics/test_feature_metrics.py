"""Feature metrics: their names, nulls and protocols, and the reasons if there is no value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.builtin.feature_metrics import genbench_metrics
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.feature_sets import random_subset
from genbench.metrics.manifolds import expected_coverage
from genbench.metrics.measuring import measure
from genbench.metrics.memorisation import closest_pairs
from genbench.plugins.catalogue import discover, require_own_names
from genbench.plugins.chosen_metrics import ChosenMetric
from genbench.plugins.metric_names import FeatureMetric, feature_metrics, with_extractor

MEASURED = ("kd", "prdc", "memorisation")  # without classes


class Pixels:
    """The pixels are the features."""

    name = "fd-pixels"
    whiten = False
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "none"})

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1).float() / 255


class Broken(Pixels):
    def __call__(self, pixels: Tensor) -> Tensor:
        features = super().__call__(pixels)
        features[0, 0] = math.nan
        return features


class Whitening(Pixels):
    whiten = True


def noise(n: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, 1, 2, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def evaluation(network: Any = None, samples: Tensor | None = None, **sets: Tensor) -> CellEvaluation:
    images = {
        "samples": noise(40, 1) if samples is None else samples,
        "train": noise(70, 2),
        "test": noise(30, 3),
        **sets,
    }
    return CellEvaluation(
        **{name: Images(pixels) for name, pixels in images.items()},  # type: ignore[arg-type]
        device=torch.device("cpu"),
        extractors={"pixels": ExtractorSpec(name="pixels", load=lambda device: network or Pixels())},
    )


def with_every_metric(extractor: ExtractorSpec) -> list[FeatureMetric]:
    return feature_metrics(genbench_metrics(), [extractor])


def ask(given: CellEvaluation, *prefixes: str) -> tuple[dict[str, Estimate], dict[str, Unavailable]]:
    extractor = ExtractorSpec(name="pixels", load="nowhere:load", classifies=True)
    wanted = [ChosenMetric(one, own=True) for one in with_every_metric(extractor) if one.base in prefixes]
    found, missing = measure(wanted, given, reconstructs=False)
    return {e.metric: e for e in found}, {u.metric: u for u in missing}


# Names


def test_only_the_inception_weights_of_2015_earn_kid_and_is() -> None:
    named = {
        spec.name: tuple(
            with_extractor(spec.name, "inception", distance) for distance in ("fid", "fd-inception-12345678")
        )
        for spec in genbench_metrics()
    }
    assert named["fd"] == ("fid", "fd-inception-12345678")
    assert named["kd"] == ("kid", "kd-inception-12345678")
    assert named["class-score"] == ("is", "class-score-inception-12345678")
    assert named["prdc"] == ("prdc-inception", "prdc-inception-12345678")
    assert named["memorisation"] == ("memorisation-inception", "memorisation-inception-12345678")


def test_no_estimate_of_a_built_in_metric_can_have_the_name_of_another() -> None:
    known = [*discover().metrics.values()]
    for number, entry in enumerate(known):
        require_own_names([entry], known[:number])


def test_the_loaded_weights_and_not_the_plan_determine_the_name() -> None:
    class Other(Pixels):
        name = "fd-pixels-0badcafe"

    found, _ = ask(evaluation(Other()), *MEASURED)
    assert len(found) == 1 + 4 + 3
    assert all(name.endswith("-pixels-0badcafe") for name in found)


def test_class_metrics_apply_to_classifiers_only_and_none_is_measured_unnamed() -> None:
    plain, classifier = (ExtractorSpec(name="net", load="nowhere:load", classifies=c) for c in (False, True))
    names = {spec.name for spec in with_every_metric(classifier)}
    assert names - {spec.name for spec in with_every_metric(plain)} == {"class-score-net", "class-balance-net"}
    assert [spec.name for spec in with_every_metric(classifier) if spec.default] == ["fd-net"]


# Numbers


def test_k_and_the_number_of_images_are_in_the_names_and_equal_on_both_sides() -> None:
    found, _ = ask(evaluation(), "prdc")
    which = ["precision", "recall", "density", "coverage"]
    assert list(found) == [f"{name}-k5-n40-pixels" for name in which]
    assert {(e.n, e.protocol["n_reference"], e.direction) for e in found.values()} == {(40, 40, "higher")}
    assert [e.null for e in found.values()] == [None, None, 1.0, expected_coverage(40, 40)]
    assert list(ask(evaluation(samples=noise(90)), "prdc")[0]) == [f"{name}-k5-n70-pixels" for name in which]


def two_kinds(n: int, dark: int) -> Tensor:
    """Dark images, then bright ones."""
    pixels = noise(n, 5) // 4
    pixels[dark:] += 190
    return pixels


@pytest.mark.parametrize("larger", ["train", "samples"])
def test_the_subset_of_the_larger_set_is_in_the_protocol_and_its_order_does_not_matter(larger: str) -> None:
    """The old subset, by position: any images can be moved to those places."""
    images = {"train": two_kinds(60, 30), "samples": two_kinds(60, 30), larger: two_kinds(300, 150)}
    by_position = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    placed = torch.empty_like(images[larger])
    placed[by_position] = images[larger]  # the first 60 places of the permutation hold dark images
    orders = [images[larger], images[larger].flip(0), placed]
    found = [ask(evaluation(**{**images, larger: order}), "prdc")[0] for order in orders]
    for name, estimate in found[0].items():
        assert [other[name].value for other in found] == [estimate.value] * 3, name
    which = "samples" if larger == "samples" else "reference images"
    protocols = {estimate.protocol["subset"] for estimate in found[0].values()}
    assert protocols == {f"60 of 300 {which}, at random with seed 0"}
    assert found[0]["coverage-k5-n60-pixels"].value > 0.8  # of both kinds
    equal, _ = ask(evaluation(train=two_kinds(60, 30), samples=two_kinds(60, 20)), "prdc")
    assert not any("subset" in estimate.protocol for estimate in equal.values())


def test_a_random_subset_is_a_fair_one() -> None:
    """Its mean is that of a simple random sample; copies of one image are drawn like different ones."""
    features = torch.randn(3000, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = [random_subset(features, 600, seed) for seed in range(40)]
    assert all(len(one.unique(dim=0)) == 600 for one in drawn)
    errors = torch.stack([one.mean(0) - features.mean(0) for one in drawn]) / (0.8 / 600) ** 0.5
    assert 0.85 < float(errors.square().mean()) ** 0.5 < 1.15
    copies = torch.cat([features[:1].expand(1000, -1), features[1000:]])
    shares = [float((random_subset(copies, 600, seed) == copies[0]).all(1).double().mean()) for seed in range(5)]
    assert shares == pytest.approx([1 / 3] * 5, abs=0.06)
    rounded = random_subset((features * (1 + 1e-12)).flip(0), 600)
    assert len(torch.cat([rounded.float(), random_subset(features, 600).float()]).unique(dim=0)) < 610


@pytest.mark.parametrize(
    ("train", "samples", "missing"),
    [
        (6, 6, ["precision", "recall", "density", "coverage"]),
        (6, 1, ["precision", "density", "coverage"]),
        (1, 6, ["recall"]),
        (5, 5, []),
        (1, 1, []),
    ],
)
def test_sets_of_copies_have_no_overlap_rather_than_none(train: int, samples: int, missing: list[str]) -> None:
    """With six copies of each image, every ball has the radius 0, and the set does not even overlap with itself."""
    sets = {
        name: noise(60 // copies, 7).repeat_interleave(copies, 0)
        for name, copies in (("train", train), ("samples", samples))
    }
    found, without = ask(evaluation(**sets), "prdc")
    assert [name.partition("-")[0] for name in without] == missing
    assert len(found) + len(without) == 4
    assert all("60 of the 60" in one.reason and "exact copies" in one.reason for one in without.values())
    if train == samples == 5:
        assert found["precision-k5-n60-pixels"].value == 1


def test_training_images_as_samples_are_below_any_kernel_distance_and_not_authentic() -> None:
    given = evaluation(samples=noise(70, 2))
    found, missing = ask(given, *MEASURED)
    assert missing == {}
    distance = found["kd-pixels"]
    assert distance.value < 0  # pairs of an image and its copy count across the sets, and not within them
    assert (distance.null, distance.protocol["kernel"], distance.n) == (0, "(x·y/6 + 1)^3", 70)
    assert (found["authenticity-pixels"].value, found["nearest-ratio-pixels"].value) == (0, 0)
    assert found["copying-ct-pixels"].value < -5
    assert found["density-k5-n70-pixels"].value == 1


def test_held_out_images_as_samples_score_what_the_nulls_say() -> None:
    found, _ = ask(evaluation(samples=noise(30, 3)), "memorisation")
    for estimate in found.values():
        assert estimate.value == pytest.approx(estimate.null, abs=1e-12)


def test_whitened_distances_are_blind_to_the_scale_of_a_feature() -> None:
    class Louder(Whitening):
        def __call__(self, pixels: Tensor) -> Tensor:
            return super().__call__(pixels) * torch.tensor([100.0, 1, 1, 1, 1, 1])

    quiet, loud = (ask(evaluation(network), *MEASURED)[0] for network in (Whitening(), Louder()))
    assert {e.protocol["whitened"] for e in quiet.values()} == {True}
    for name, estimate in quiet.items():
        assert loud[name].value == pytest.approx(estimate.value, rel=1e-4, abs=1e-6), name


COMPARED = ("mmd", "vendi", "spread", "fld", "rarity", "fd-infinity")  # more measurements, without classes


def test_each_measurement_states_its_null_number_and_protocol() -> None:
    found, missing = ask(evaluation(), *COMPARED)
    assert missing == {}
    assert list(found) == [
        *("fd-infinity-pixels", "mmd-pixels"),
        *("vendi-q1-pixels", "vendi-q2-pixels", "vendi-inf-pixels"),
        *("feature-variance-pixels", "effective-rank-pixels"),
        *("rarity-k3-pixels", "outside-k3-pixels", "fld-pixels", "fld-gap-pixels"),
    ]
    for name, estimate in found.items():
        assert (estimate.null is None) == (name == "fld-gap-pixels"), name  # a gap above that of the data is no better
        assert estimate.standard_error is not None, name
        assert (estimate.protocol["n_reference"], estimate.protocol["layer"]) == (70, "none"), name
    of_inside = 40 - round(40 * found["outside-k3-pixels"].value)
    assert found["rarity-k3-pixels"].n == of_inside
    assert found["fld-pixels"].n == 35  # half as many as there are training images
    assert found["fld-pixels"].protocol["subset"] == "35 of 40 samples, at random with seed 0"
    assert "fewer than 100 samples" in found["fld-pixels"].remark
    assert found["effective-rank-pixels"].n == 40
    assert found["mmd-pixels"].debiased is not None


def test_training_images_as_samples_have_their_spread_and_lie_inside_their_manifold() -> None:
    given = evaluation(samples=noise(70, 2))
    found, _ = ask(given, *COMPARED)
    assert found["mmd-pixels"].value == pytest.approx(0, abs=1e-9)
    for name in ("vendi-q1-pixels", "vendi-q2-pixels", "vendi-inf-pixels", "effective-rank-pixels"):
        assert found[name].value == pytest.approx(found[name].null, rel=1e-9), name
    assert found["feature-variance-pixels"].value == pytest.approx(1, rel=1e-9)
    assert found["outside-k3-pixels"].value == 0
    of_data = float(found["fld-gap-pixels"].remark.split(" gap of ")[1].split(";")[0])
    assert found["fld-gap-pixels"].value < 10 * of_data < 0


def test_held_out_images_as_samples_have_no_divergence_from_themselves() -> None:
    found, missing = ask(evaluation(samples=noise(30, 3)), "fld")
    assert found == {}
    assert missing["fld-pixels"].reason == "the samples are held-out images, whose likelihood is measured."


def test_held_out_images_as_samples_are_as_rare_as_the_null_says() -> None:
    found, _ = ask(evaluation(samples=noise(30, 3)), "rarity")
    for estimate in found.values():
        assert estimate.value == pytest.approx(estimate.null, abs=1e-12)


def test_spread_and_variety_of_new_images_are_those_of_the_data_also_where_an_extractor_whitens() -> None:
    """Whitened by 40 training images, 40 new ones would have the variance 39 / 32, for six features."""
    found = [
        ask(
            evaluation(Whitening(), samples=noise(40, 2 * seed + 100), train=noise(40, 2 * seed + 101)),
            "spread",
            "vendi",
        )
        for seed in range(30)
    ]
    for name in found[0][0]:
        ratios = torch.tensor([estimates[name].value / (estimates[name].null or 1) for estimates, _ in found])
        assert abs(float(ratios.mean()) - 1) < 3.5 * float(ratios.std()) / 30**0.5, name
        assert found[0][0][name].protocol["whitened"] is False


def test_the_extrapolation_needs_more_samples_than_features_in_a_quarter() -> None:
    assert "fd-infinity-pixels" in ask(evaluation(samples=noise(25)), "fd-infinity")[0]
    _, missing = ask(evaluation(samples=noise(24)), "fd-infinity")
    assert "more than 4 × 6 samples" in missing["fd-infinity-pixels"].reason


# Reasons


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (evaluation(Broken()), "are not finite"),
        (evaluation(train=noise(1).expand(50, -1, -1, -1)), "all have the same features"),
        (evaluation(samples=noise(0)), "no images"),
    ],
    ids=["NaN", "equal", "none"],
)
def test_no_measurement_of_incomparable_features_has_a_value(given: CellEvaluation, reason: str) -> None:
    found, missing = ask(given, *COMPARED)
    assert found == {}
    assert {name.removesuffix("-pixels") for name in missing} == set(COMPARED)
    assert all(reason in one.reason for one in missing.values()), missing


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (evaluation(Broken()), "are not finite"),
        (evaluation(train=noise(1).expand(50, -1, -1, -1)), "all have the same features"),
        (evaluation(Whitening(), train=noise(1).expand(50, -1, -1, -1)), "all have the same features"),
        (evaluation(samples=noise(1)), " images; samples: 1"),
        (evaluation(samples=noise(0)), "no images"),
    ],
    ids=["NaN", "equal", "equal, whitened", "one", "none"],
)
def test_incomparable_features_give_the_reason(given: CellEvaluation, reason: str) -> None:
    found, missing = ask(given, *MEASURED)
    assert found == {}
    assert list(missing) == ["kd-pixels", "prdc-pixels", "memorisation-pixels"]
    assert all(reason in one.reason for one in missing.values()), missing


def test_too_few_samples_or_held_out_images_give_the_reason() -> None:
    few, too_few = ask(evaluation(samples=noise(5), test=noise(19)), *MEASURED)
    assert list(few) == ["kd-pixels"]
    assert "at least 6 images; samples: 5" in too_few["prdc-pixels"].reason
    assert "at least 20 held-out images; there are 19" in too_few["memorisation-pixels"].reason


def test_held_out_images_among_the_training_images_leave_no_ratio() -> None:
    found, missing = ask(evaluation(test=noise(70, 2)[:30]), "memorisation")
    assert list(found) == ["authenticity-pixels", "copying-ct-pixels"]
    assert "their distance is 0" in missing["nearest-ratio-pixels"].reason


# Pairs to look at


def test_the_closest_pairs_are_the_copies_and_their_originals() -> None:
    train, samples = noise(70, 2), noise(40, 1)
    samples[[7, 3]] = train[[20, 60]]
    samples[3, 0, 0, 0] ^= 1  # nearly
    first, second = closest_pairs(evaluation(samples=samples), "pixels", 2)
    assert (first.tolist(), second.tolist()) == ([7, 3], [20, 60])
    assert len(closest_pairs(evaluation(samples=samples), "pixels", 100)[0]) == 40
