"""Rules of metrics and extractors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genbench.api.evaluation import (
    Estimate,
    Extractor,
    ExtractorData,
    ExtractorUnavailable,
    Unavailable,
)
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec, MetricSpec
from genbench.features.extract import load_extractor
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.measuring import call_metric, contract_of, several
from genbench.plugins.calls import defined_at, describe
from genbench.plugins.chosen_metrics import ChosenMetric, chosen_metrics, options_of
from genbench.plugins.metric_names import FeatureMetric
from genbench.results.cache import cache_directory
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import CPU, Subject, noise

COUNT = 96
SHAPE = (1, 28, 28)
EXTRACTOR = "fashion-cnn"  # for metrics that are measured per extractor: it classifies, and needs no download


@check(
    "metric-contract",
    "metrics",
    what="`measure` returns Estimates, or Unavailables, of declared names and directions, and modifies no image.",
    why="A value under another name, or with another direction, would be compared with the wrong values.",
    fix="Use the spec's name and direction, or declare `estimates`; return finite floats; copy images to modify them.",
)
def metric_contract(subject: Subject) -> None:
    """Measure images of noise."""
    evaluation = _evaluation(subject)
    before = torch.as_tensor(evaluation.samples.pixels).clone()
    _measure(subject, evaluation)
    if not torch.equal(torch.as_tensor(evaluation.samples.pixels), before):
        raise RuleViolation("it modifies the images that it measures")


@check(
    "metric-repeats",
    "metrics",
    what="The same images give the same value, whatever the global seeds.",
    why="A difference between two models must not come from the metric.",
    fix="Draw from evaluation.generator(purpose).",
    after=("metric-contract",),
)
def metric_repeats(subject: Subject) -> None:
    """Measure with two global seeds."""
    values = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        values.append([found.value for found in _measure(subject, _evaluation(subject))])
    if values[0] != values[1]:
        raise RuleViolation(f"two measurements give {values[0]} and {values[1]}")


@check(
    "extractor-contract",
    "extractors",
    what="An extractor turns uint8 images with 1 or 3 channels into finite features (N, d), and has a protocol.",
    why="Distances can be compared only if the protocols agree, and images of any dataset may be measured.",
    fix="Repeat or mix channels, resize, return floats, and put the hash of the weights into `protocol`.",
)
def extractor_contract(subject: Subject) -> None:
    """Extract features of noise."""
    extractor = _load(subject)
    if not dict(extractor.protocol):
        raise RuleViolation("its protocol is empty")
    for shape in (SHAPE, (3, 32, 32)):
        features: Any = _features(extractor, _pixels(4, shape))
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 4:
            raise RuleViolation(
                f"for 4 images {shape} the features are {describe(features)}, not (4, d){defined_at(extractor)}"
            )
        if not features.is_floating_point() or not bool(features.isfinite().all()):
            raise RuleViolation(f"for images {shape} the features are not finite floats")


@check(
    "extractor-per-image",
    "extractors",
    what="The features of an image do not depend on the other images of the batch.",
    why="Otherwise a distance depends on the batch size and on the order of the images.",
    fix="Call eval() on the network when it is loaded.",
    after=("extractor-contract",),
)
def extractor_per_image(subject: Subject) -> None:
    """Extract features of the same images in two different batches."""
    extractor, pixels = _load(subject), _pixels(6, SHAPE)
    alone, together = _features(extractor, pixels[:3]), _features(extractor, pixels)[:3]
    if not torch.allclose(alone, together, rtol=1e-3, atol=1e-4):
        raise RuleViolation(
            f"features change by up to {float((alone - together).abs().max()):.3g} with the other images of the batch"
        )


def _pixels(count: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    return noise(count, shape, seed).mul(255).round().to(torch.uint8)


def _features(extractor: Extractor, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return extractor(pixels)


def _load(subject: Subject) -> Extractor:
    spec: ExtractorSpec = subject.spec
    try:
        return load_extractor(spec, CPU, _data())
    except ExtractorUnavailable as error:
        raise NotApplicable(str(error)) from None


def _data() -> ExtractorData:
    labels = torch.arange(COUNT) % 3
    train, test = (Images(_pixels(COUNT, SHAPE, seed), labels) for seed in (1, 2))
    return ExtractorData("noise", "noise", train, test, cache_directory(), ("a", "b", "c"))


def _evaluation(subject: Subject) -> CellEvaluation:
    data = _data()
    held_out = noise(COUNT, SHAPE, 2)
    return CellEvaluation(
        samples=Images(_pixels(COUNT, SHAPE)),
        train=data.train,
        test=data.test,
        reconstructions=(held_out, (held_out + noise(COUNT, SHAPE, 3)) / 2),
        device=CPU,
        extractors={name: entry.spec for name, entry in subject.catalogue.extractors.items()},
        mode_of=_brightness,
        data=data,
    )


def _brightness(pixels: Tensor) -> Tensor:
    return (pixels.float().mean((1, 2, 3)) > 127).long()


def _measure(subject: Subject, evaluation: CellEvaluation) -> list[Estimate]:
    """Return the estimates of a metric, with an extractor that ships with genbench if it needs one.

    Raises `RuleViolation` for a result that breaks the contract, and `NotApplicable` where there is no estimate.
    """
    chosen = _chosen(subject)
    try:
        found = call_metric(chosen, evaluation)
    except ExtractorUnavailable as error:
        raise NotApplicable(str(error)) from None
    others = [entry.spec for entry in subject.catalogue.metrics.values()]
    contract = contract_of(chosen, evaluation, others)
    results = several(chosen.spec, found)
    checked = [contract.checked(result) for result in results]
    for result, kept in zip(results, checked, strict=True):
        if isinstance(kept, Unavailable) and (kept.failed or isinstance(result, Estimate)):
            raise RuleViolation(kept.reason)
    estimates = [result for result in checked if isinstance(result, Estimate)]
    if not estimates:
        reasons = [result.reason for result in checked if isinstance(result, Unavailable)]
        raise NotApplicable(f"it is unavailable here: {'; '.join(reasons)}")
    return estimates


def _chosen(subject: Subject) -> ChosenMetric:
    spec: MetricSpec = subject.spec
    known = [entry.spec for entry in subject.catalogue.metrics.values()]
    if spec.per_extractor:
        with_each = [one for one in known if isinstance(one, FeatureMetric) and one.base == spec.name]
        spec = next(one for one in with_each if one.extractor == EXTRACTOR)
    options = options_of([spec], subject.settings)
    return chosen_metrics([spec.name], subject.catalogue, options)[0]
