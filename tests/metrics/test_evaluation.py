"""Evaluation of a cell: features computed once and independent of the batch, metrics isolated from one another."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genbench.api.evaluation import (
    Estimate,
    Evaluation,
    Extractor,
    ExtractorData,
    ExtractorUnavailable,
    Unavailable,
)
from genbench.api.images import Images
from genbench.api.options import option
from genbench.api.specs import ExtractorSpec, MetricSpec
from genbench.builtin.feature_metrics import genbench_metrics as measurements_of_features
from genbench.builtin.metrics import genbench_metrics
from genbench.errors import UsageError
from genbench.features.extract import extract
from genbench.metrics import frechet_distance
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.measuring import measure
from genbench.plugins.chosen_metrics import ChosenMetric
from genbench.plugins.metric_names import feature_metrics

CPU = torch.device("cpu")


class Convolution:
    """A random network with its own record of the batches it was shown."""

    name = "fd-convolution"
    whiten = False
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "last"})

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 5))
        self.batches: list[int] = []

    def __call__(self, pixels: Tensor) -> Tensor:
        self.batches.append(len(pixels))
        features: Tensor = self.network(pixels.float() / 255)
        return features


class Whitening(Convolution):
    name = "fd-whitening"
    whiten = True


def noise(n: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def evaluation(extractor: Extractor | None = None, **changes: Any) -> CellEvaluation:
    settings: dict[str, Any] = {
        "samples": Images(noise(30, 1)),
        "train": Images(noise(50, 2)),
        "test": Images(noise(20, 3)),
        "device": CPU,
        "batch_size": 16,
        "extractors": {"net": ExtractorSpec(name="net", load=lambda device: extractor or Convolution())},
    }
    return CellEvaluation(**{**settings, **changes})


def value(number: Any, direction: Any = "higher", metric: str = "m0") -> Any:
    return lambda evaluation: Estimate(metric, number, None, 1, direction)


def ask(*measures: Any, **changes: Any) -> tuple[list[Estimate], list[Unavailable]]:
    specs = [MetricSpec(name=f"m{i}", measure=m, direction="higher") for i, m in enumerate(measures)]
    return measure(plugins(specs), evaluation(**changes), reconstructs=True)


def plugins(specs: Iterable[MetricSpec]) -> list[ChosenMetric]:
    return [ChosenMetric(spec) for spec in specs]


def built_in(specs: Iterable[MetricSpec]) -> list[ChosenMetric]:
    return [ChosenMetric(spec, own=True) for spec in specs]


# Features


@pytest.mark.parametrize("batch_size", [1, 7, 30, 64])
def test_features_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    network = Convolution()
    pixels = noise(30)
    whole = network.network(pixels.float() / 255)
    found = extract(network, pixels, CPU, batch_size)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-6)
    assert set(network.batches) == {batch_size}
    assert (found.dtype, found.requires_grad, found.is_inference()) == (torch.float32, False, False)


def test_features_are_computed_once_per_set_and_the_network_loaded_once() -> None:
    network, loads = Convolution(), []

    def load(device: torch.device) -> Convolution:
        loads.append(device)
        return network

    given = evaluation(extractors={"net": ExtractorSpec(name="net", load=load)})
    assert given.features("net", "train") is given.features("net", "train")
    assert given.features("net", "samples").shape == (30, 5)
    assert (len(loads), len(network.batches)) == (1, 4 + 2)


class Known(Convolution):
    protocol = MappingProxyType({"weights_sha256": "abc"})


@pytest.mark.parametrize("whitens", [False, True])
def test_a_second_evaluation_of_the_same_data_reuses_their_features(tmp_path: Path, whitens: bool) -> None:
    def again() -> tuple[Known, CellEvaluation]:
        network = Known()
        network.whiten = whitens
        images = (Images(noise(50, 2)), Images(noise(20, 3)))
        return network, evaluation(network, data=ExtractorData("noise", "f" * 64, *images, tmp_path))

    (first, one), (second, two) = again(), again()
    estimates = []
    for given in (one, two):
        estimates.append(frechet_distance.measure(given, "net"))
        assert torch.equal(given.features("net", "train"), evaluation(Known()).features("net", "train"))
        assert torch.equal(given.features("net", "test"), evaluation(Known()).features("net", "test"))
    assert estimates[0] == estimates[1] == frechet_distance.measure(again()[1], "net")
    assert (len(first.batches), len(second.batches)) == (2 + 4 + 2, 2)  # batches of 16: samples, train, test


def test_the_gaussian_of_features_is_computed_once_per_set() -> None:
    network = Convolution()
    given = evaluation(network)
    found = given.statistics("net", "train")
    assert found is given.statistics("net", "train")
    assert torch.equal(found.mean, given.features("net", "train").mean(0))
    other = given.with_samples(Images(noise(16, 9)))
    assert other.statistics("net", "train") is found
    assert other.statistics("net", "samples").n == 16
    assert len(network.batches) == 4 + 1


def test_images_may_be_numpy_arrays() -> None:
    arrays = evaluation(samples=Images(np.asarray(noise(30, 1))))
    torch.testing.assert_close(arrays.features("net", "samples"), evaluation().features("net", "samples"))


def test_unavailable_extractor_is_tried_once_and_unknown_one_gets_the_near_miss() -> None:
    attempts = []

    def load(device: torch.device) -> Extractor:
        attempts.append(device)
        raise ExtractorUnavailable("fetch it from there")

    given = evaluation(extractors={"net": ExtractorSpec(name="net", load=load)})
    for _ in range(2):
        with pytest.raises(ExtractorUnavailable, match="fetch it"):
            given.features("net", "train")
    assert len(attempts) == 1
    with pytest.raises(UsageError, match="Did you mean 'net'"):
        given.extractor("nett")


def test_generators_repeat_for_a_purpose_and_differ_between_purposes_and_seeds() -> None:
    def draw(purpose: str, seed: int = 0) -> list[float]:
        return torch.rand(4, generator=evaluation(seed=seed).generator(purpose)).tolist()

    assert draw("a") == draw("a")
    assert draw("a") != draw("b")
    assert draw("a") != draw("a", seed=1)


# Modes


def parity(pixels: Tensor) -> Tensor:
    return pixels[:, 0, 0, 0].long() % 2


def test_modes_come_from_the_dataset_once_per_set_if_it_defines_them() -> None:
    sizes = []

    def mode_of(pixels: Tensor) -> Tensor:
        sizes.append(len(pixels))
        return parity(pixels)

    given = evaluation(mode_of=mode_of, train=Images(np.asarray(noise(50, 2))))
    for name, pixels in (("samples", noise(30, 1)), ("train", noise(50, 2)), ("test", noise(20, 3))):
        for _ in range(2):
            found = given.modes(name)  # type: ignore[arg-type]
            assert found is not None
            assert torch.equal(found, parity(pixels))
            assert not found.is_inference()
    assert sizes == [30, 50, 20]
    assert evaluation().modes("train") is None


def test_a_dataset_may_name_its_modes_by_module_and_function() -> None:
    points = Images(torch.full((1, 1, 1, 2), 127, dtype=torch.uint8))
    target = "genbench.builtin.datasets.generated.gaussians:mode_of_gaussian_grid"
    found = evaluation(mode_of=target, samples=points).modes("samples")
    assert found is not None
    assert found.tolist() == [12]  # the middle of five by five


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda pixels: [0] * len(pixels), "returned list for 30 images"),
        (lambda pixels: parity(pixels).float(), r"returned torch.float32 \(30,\) for 30 images"),
        (lambda pixels: parity(pixels)[:-1], r"returned torch.int64 \(29,\) for 30 images"),
    ],
)
def test_an_error_in_the_type_of_modes_names_the_dataset(wrong: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        evaluation(mode_of=wrong).modes("samples")


def test_new_samples_are_evaluated_again_but_the_data_are_not() -> None:
    network, seen = Convolution(), []

    def mode_of(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return parity(pixels)

    first = evaluation(network, mode_of=mode_of)
    for name in ("samples", "train"):
        first.features("net", name), first.modes(name)  # type: ignore[arg-type]
    batches = len(network.batches)
    images = torch.rand(2, 1, 8, 8)
    second = first.with_samples(Images(noise(16, 9)), (images, images))
    assert second.features("net", "train") is first.features("net", "train")
    assert second.modes("train") is first.modes("train")
    torch.testing.assert_close(second.features("net", "samples"), extract(network, noise(16, 9), CPU, 16).double())
    assert torch.equal(second.modes("samples"), parity(noise(16, 9)))  # type: ignore[arg-type]
    assert (len(network.batches) - batches, seen) == (2, [30, 50, 16])  # one batch here, one of the line above
    assert second.reconstructions is not None
    assert first.reconstructions is None
    assert torch.equal(first.modes("samples"), parity(noise(30, 1)))  # type: ignore[arg-type]


# The Fréchet distance as a metric


def test_training_images_as_samples_are_at_no_distance_and_the_protocol_says_how() -> None:
    for network in (Convolution(), Whitening()):
        found = frechet_distance.measure(evaluation(network, samples=Images(noise(50, 2))), "net")
        assert isinstance(found, Estimate)
        assert found.value == pytest.approx(0, abs=1e-9)
        assert (found.metric, found.n, found.direction) == (network.name, 50, "lower")
        assert found.protocol == {
            "layer": "last",
            "reference_split": "train",
            "n_reference": 50,
            "whitened": network.whiten,
            "ddof": 1,
        }


def test_whitening_makes_the_distance_blind_to_the_scale_of_features() -> None:
    class Louder(Whitening):
        def __call__(self, pixels: Tensor) -> Tensor:
            return super().__call__(pixels) * 1000

    quiet, loud = (frechet_distance.measure(evaluation(network), "net") for network in (Whitening(), Louder()))
    assert isinstance(quiet, Estimate)
    assert isinstance(loud, Estimate)
    assert loud.value == pytest.approx(quiet.value, rel=1e-4)
    assert loud.standard_error == pytest.approx(quiet.standard_error, rel=1e-4)


def test_a_distance_has_a_debiased_value_and_a_null() -> None:
    found = [frechet_distance.measure(evaluation(network), "net") for network in (Convolution(), Whitening())]
    for estimate in found:
        assert isinstance(estimate, Estimate)
        assert estimate.debiased is not None
        assert estimate.null is not None
        assert estimate.standard_error is not None
        # the samples are the training images' distribution: the score is about its null, and less its bias about none
        assert estimate.value == pytest.approx(estimate.null, abs=5 * estimate.standard_error)
        assert abs(estimate.debiased) < estimate.value


def test_features_that_are_not_finite_make_the_distance_unavailable() -> None:
    class Broken(Convolution):
        def __call__(self, pixels: Tensor) -> Tensor:
            return super().__call__(pixels) / (pixels.flatten(1)[:, :1] != 255)

    pixels = noise(30, 1)
    pixels[:, 0, 0, 0] = 255
    metric = MetricSpec(
        name="fd", measure=functools.partial(frechet_distance.measure, extractor="net"), direction="lower"
    )
    _, (reason,) = measure(built_in([metric]), evaluation(Broken(), samples=Images(pixels)), reconstructs=False)
    assert "30 images have features that are not finite" in reason.reason


def test_constant_samples_have_a_distance() -> None:
    found = frechet_distance.measure(evaluation(samples=Images(torch.zeros(20, 1, 8, 8, dtype=torch.uint8))), "net")
    assert isinstance(found, Estimate)
    assert found.value > 0
    assert found.standard_error == pytest.approx(0, abs=1e-6)


def test_two_samples_have_a_distance_without_an_error_and_one_has_none() -> None:
    two = frechet_distance.measure(evaluation(samples=Images(noise(2))), "net")
    assert isinstance(two, Estimate)
    assert two.standard_error is None
    assert isinstance(frechet_distance.measure(evaluation(samples=Images(noise(1))), "net"), Unavailable)


# Isolation


def test_a_failing_metric_does_not_affect_the_others() -> None:
    def broken(given: Evaluation) -> Estimate:
        raise ZeroDivisionError("by nought")

    def unavailable(given: Evaluation) -> Estimate:
        raise ExtractorUnavailable("put the weights there")

    estimates, reasons = ask(value(1.0), broken, unavailable, value(2.0, metric="m3"))
    assert [e.value for e in estimates] == [1.0, 2.0]
    line = broken.__code__.co_firstlineno + 1
    assert reasons == [
        Unavailable(
            "m1",
            f"measure of 'm1' raised ZeroDivisionError: by nought (test_evaluation.py, line {line})",
            failed=True,
        ),
        Unavailable("m2", "put the weights there"),
    ]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_not_numbers(number: float) -> None:
    estimates, (reason,) = ask(value(number))
    assert estimates == []
    assert "is not finite" in reason.reason


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda evaluation: 3.0, "returned float"),
        (lambda evaluation: None, "returned NoneType"),
        (value("much"), "value is a str"),
        (value(torch.tensor(1.0)), "value is a Tensor"),
        (value(1.0, direction="lower"), "'lower' is better"),
        ("genbench.no_such_module:measure", "ModuleNotFoundError"),
    ],
)
def test_a_broken_contract_names_the_fault(wrong: Any, named: str) -> None:
    estimates, (reason,) = ask(wrong)
    assert estimates == []
    assert reason.metric == "m0"
    assert named in reason.reason


# Names


@pytest.mark.parametrize("result", [value(1.0, metric="fd-net"), lambda given: Unavailable("fid", "not here")])
def test_a_metric_cannot_use_the_name_of_another(result: Any) -> None:
    estimates, (reason,) = ask(result)
    assert (estimates, reason.metric, reason.failed) == ([], "m0", True)
    assert re.search(r"named '(fd-net|fid)'; expected 'm0'.*test_evaluation.py, line \d+\)", reason.reason)


def each(*names: str, **declared: Any) -> tuple[list[str], list[Unavailable]]:
    """Return the names of the estimates of a metric 'pair' that returns these, next to others, and what was refused."""
    spec = MetricSpec(
        name="pair",
        measure=lambda given: [Estimate(name, 1.0, None, 1, "lower") for name in names],
        direction="each",
        estimates=declared,
    )
    net = ExtractorSpec(name="net", load="nowhere:load")
    known = [spec, *genbench_metrics(), *feature_metrics(measurements_of_features(), [net])]
    estimates, refused = measure(plugins([spec]), evaluation(), reconstructs=False, known=known)
    return [one.metric for one in estimates], refused


def test_several_estimates_have_declared_names_or_names_of_no_other_metric() -> None:
    assert each("pair", "pair-a", "hausdorff") == (["pair", "pair-a", "hausdorff"], [])  # as plugins of 1.0 may
    assert each("cov", "cov-k5", cov="lower") == (["cov", "cov-k5"], [])
    for taken in (
        "psnr",
        "fd-net",
        "precision-k5-n16-net",
        "fid",
        "fid-mine",
        "kid5k",
        "is",
        "FID",
        "PSNR ",
        "fid (x)",
    ):
        names, (refused,) = each("pair", taken)
        assert (names, refused.metric, refused.failed) == (["pair"], "pair", True)
        assert f"named '{taken}'" in refused.reason
    names, (refused,) = each("cov", "covered", cov="lower")
    assert names == ["cov"]
    assert "named 'covered'; expected 'cov'" in refused.reason
    names, (refused,) = each("cov", cov="higher")
    assert (names, refused.metric) == ([], "cov")
    assert "'lower' is better, the spec 'higher'" in refused.reason


def test_an_estimate_of_a_metric_with_an_extractor_is_named_after_the_loaded_weights() -> None:
    class Other(Convolution):
        name = "fd-net-0badcafe"

    def ask_with(network: Extractor, measure_one: Any, **fields: Any) -> tuple[list[str], list[str]]:
        spec = MetricSpec(name="hill", measure=measure_one, per_extractor=True, **fields)
        metrics = plugins(feature_metrics([spec], [ExtractorSpec(name="net", load="nowhere:load")]))
        estimates, refused = measure(metrics, evaluation(network), reconstructs=False)
        return [one.metric for one in estimates], [one.reason for one in refused]

    def named(name: str) -> Any:
        return lambda given, extractor: Estimate(
            name, float(given.features(extractor, "samples").sum()), None, 1, "higher"
        )

    for name in ("hill", "hill-net", "hill-net-0badcafe"):
        assert ask_with(Other(), named(name), direction="higher") == (["hill-net-0badcafe"], [])
    found, (reason,) = ask_with(Convolution(), named("kd-net"), direction="higher")
    assert found == []
    assert "named 'kd-net'; expected 'hill'" in reason
    both = [named("hill-low"), named("hill-high")]
    found, _ = ask_with(
        Other(),
        lambda given, extractor: [one(given, extractor) for one in both],
        direction="each",
        estimates={"hill-low": "higher", "hill-high": "higher"},
    )
    assert found == ["hill-low-net-0badcafe", "hill-high-net-0badcafe"]


@pytest.mark.parametrize("name", ["fid", "fd-other", "kid-net"])
def test_an_extractor_cannot_take_the_name_of_another(name: Any) -> None:
    network = Convolution()
    network.name = name
    specs = [ExtractorSpec(name="net", load=lambda device: network), ExtractorSpec(name="other", load="nowhere:load")]
    given = evaluation(extractors={spec.name: spec for spec in specs})
    metrics = built_in(feature_metrics(measurements_of_features(), specs[:1]))
    found, missing = measure(metrics, given, reconstructs=False)
    assert found == []
    assert all("expected 'fd-net', or" in one.reason and one.failed for one in missing)


def test_a_loaded_extractor_that_is_named_otherwise_gets_the_name_of_its_spec() -> None:
    network = Convolution()
    network.name = "my features"
    specs = feature_metrics(measurements_of_features(), [ExtractorSpec(name="net", load="nowhere:load")])
    metrics = built_in(spec for spec in specs if spec.base in ("fd", "kd"))
    found, _ = measure(metrics, evaluation(network), reconstructs=False)
    assert [one.metric for one in found] == ["fd-net", "kd-net"]


def test_two_metrics_that_yield_one_name_do_not_replace_each_other() -> None:
    spec = MetricSpec(name="pair", measure=value(2.0, metric="m0"), direction="each")
    first = MetricSpec(name="m0", measure=value(1.0), direction="higher")
    for metrics in ([spec, first], [first, spec]):
        own = [ChosenMetric(one, own=one is first) for one in metrics]
        (found,), (refused,) = measure(own, evaluation(), reconstructs=False)
        assert (found.value, refused.metric, refused.failed) == (1.0, "pair", True)


# Options


def test_options_reach_the_metric_and_become_part_of_its_protocol() -> None:
    @dataclass(frozen=True)
    class Options:
        order: float = option(1.0, "order of the entropy")
        bins: list[int] = option([1, 2], "bins")  # noqa: RUF009

    spec = MetricSpec(
        name="m0", options=Options, direction="higher",
        measure=lambda given, options: Estimate("m0", options.order, None, 1, "higher", {"kernel": "cosine"}),
    )  # fmt: skip
    chosen = ChosenMetric(spec, {"order": 2.0, "bins": [3]}, "hill 1.2")
    (found,), _ = measure([chosen], evaluation(), reconstructs=False)
    assert found.value == 2.0
    assert found.protocol == {"kernel": "cosine", "order": 2.0, "bins": "[3]", "plugin": "hill 1.2"}


# Built-in metrics


def test_built_in_metrics_and_a_distance_together() -> None:
    distance = MetricSpec(
        name="fd-convolution",
        measure=functools.partial(frechet_distance.measure, extractor="net"),
        direction="lower",
    )
    taken = [spec for spec in genbench_metrics() if spec.default and not (spec.needs_modes or spec.needs_factors)]
    specs = built_in([*taken, distance])
    images = torch.rand(20, 1, 12, 12)
    given = evaluation(reconstructions=(images, images.flip(0)))
    estimates, unavailable = measure(specs, given, reconstructs=True)
    assert [e.metric for e in estimates] == ["reconstruction-mse", "psnr", "ssim", "diversity", "fd-convolution"]
    assert unavailable == []
    estimates, unavailable = measure(specs, evaluation(), reconstructs=False)
    assert [e.metric for e in estimates] == ["diversity", "fd-convolution"]
    assert unavailable == []


@pytest.mark.parametrize("kind", ["fd", "kd", "sw", "prdc", "memorisation"])
def test_reasons_of_built_in_metrics_contain_no_name_of_an_exception(kind: str) -> None:
    """Training images without any spread have no scale to whiten by."""
    black = Images(torch.zeros(60, 1, 8, 8, dtype=torch.uint8))
    network = ExtractorSpec(name="net", load=lambda device: Whitening())
    specs = [spec for spec in feature_metrics(measurements_of_features(), [network]) if spec.base == kind]
    found, missing = measure(
        built_in(specs), evaluation(Whitening(), train=black, samples=black, test=black), reconstructs=False
    )
    assert (found, len(specs)) == ([], 1)
    assert all(re.search(r"same features|the same", one.reason) for one in missing)
    assert not any(re.search(r"\w*(Error|Exception)\b", one.reason) for one in missing)


@pytest.mark.parametrize("error", [ValueError("too few"), RuntimeError("too few"), MemoryError(), KeyError("too few")])
def test_errors_inside_built_in_metrics_are_told_without_their_type(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genbench.metrics.kernel_distance.measure", Mock(side_effect=error))
    network = ExtractorSpec(name="net", load=lambda device: Convolution())
    (spec,) = (spec for spec in feature_metrics(measurements_of_features(), [network]) if spec.base == "kd")
    _, (missing,) = measure(built_in([spec]), evaluation(), reconstructs=False)
    assert missing.failed is not isinstance(error, ValueError)
    assert "too few" in missing.reason or "not enough memory" in missing.reason
    assert type(error).__name__ not in missing.reason


# What a plugin's metric returns becomes part of a result


def estimate(**changes: Any) -> Any:
    fields: dict[str, Any] = {"metric": "m0", "value": 1.0, "standard_error": None, "n": 1, "direction": "higher"}
    return lambda evaluation: Estimate(**fields | changes)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (estimate(value=10**400), "an integer of 1329 bits is not finite, or too large"),
        (estimate(value=1e200), "too large"),
        (estimate(protocol={"k": math.nan}), "protocol has nan for 'k'"),
        (estimate(protocol={"k": math.inf}), "protocol has inf for 'k'"),
        (estimate(protocol={"k": 10**400}), "protocol has an integer of 1329 bits for 'k'"),
        (estimate(protocol={"k": torch.ones(1)}), "protocol has a Tensor for 'k'"),
        (estimate(protocol=[1]), "protocol is a list"),
        (estimate(n=-1), "number of images is -1"),
        (estimate(n=10**400), "number of images is an integer of 1329 bits"),
        (estimate(n="many"), "number of images is many"),
        (estimate(standard_error="small"), "an error, bias or null is a str"),
        (estimate(metric="m" * 300), "the name of its result is not a text of 1 to 200 characters"),
        (estimate(metric=None), "the name of its result is not a text"),
        (estimate(direction="up"), "'up' is better"),
        (estimate(remark=3), "its remark is a int, not a text"),
    ],
)
def test_what_cannot_be_stored_costs_only_its_metric(wrong: Any, named: str) -> None:
    estimates, (reason,) = ask(wrong, value(2.0, metric="m1"))
    assert [e.value for e in estimates] == [2.0]
    assert named in reason.reason


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error", [OSError("no file \udcff"), ExtractorUnavailable("get \udcff"), Unspeakable(), SystemExit(3)]
)
def test_any_text_of_an_exception_can_be_stored(error: Exception) -> None:
    def broken(given: Evaluation) -> Estimate:
        raise error

    _, (reason,) = ask(broken)
    assert reason.reason.encode()


def test_text_that_is_not_unicode_is_escaped() -> None:
    estimates, (reason,) = ask(estimate(protocol={"file \udcff": "a\udcfe"}), lambda _: Unavailable("m1", "\udcff"))
    assert estimates[0].protocol == {"file \\udcff": "a\\udcfe"}
    assert reason == Unavailable("m1", "\\udcff")


def test_numbers_of_numpy_become_plain_ones() -> None:
    estimates, _ = ask(estimate(value=np.float64(2.0), protocol={"k": np.float64(3.0)}, standard_error=math.nan))
    assert type(estimates[0].value) is type(estimates[0].protocol["k"]) is float
    assert estimates[0].standard_error is None
