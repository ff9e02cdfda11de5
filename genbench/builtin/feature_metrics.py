"""The built-in metrics that are measured with every extractor."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from genbench import MetricSpec, hookimpl

_per_extractor = partial(MetricSpec, per_extractor=True, default=False)


@hookimpl
def genbench_metrics() -> Iterable[MetricSpec]:
    """Yield the built-in measurements of features."""
    yield _per_extractor(
        name="fd",
        summary="Fréchet distance",
        measure="genbench.metrics.frechet_distance:measure",
        direction="lower",
        default=True,
    )
    yield _per_extractor(
        name="fd-infinity",
        summary="Fréchet distance extrapolated to infinitely many samples",
        measure="genbench.metrics.feature_scores.frechet_infinity:measure",
        direction="lower",
    )
    yield _per_extractor(
        name="kd",
        summary="unbiased kernel distance",
        measure="genbench.metrics.kernel_distance:measure",
        direction="lower",
    )
    yield _per_extractor(
        name="mmd",
        summary="kernel distance with a Gaussian kernel, times 1000; CMMD with CLIP's ViT-L/14 at 336 pixels",
        measure="genbench.metrics.feature_scores.mean_discrepancy:measure",
        direction="lower",
    )
    yield _per_extractor(
        name="sw",
        summary="sliced Wasserstein distance times 3d; MIND with Inception features",
        measure="genbench.metrics.sliced_wasserstein:measure",
        direction="lower",
    )
    yield _per_extractor(
        name="prdc",
        summary="precision, recall, density and coverage by nearest neighbours",
        measure="genbench.metrics.prdc:measure",
        direction="each",
        estimates=dict.fromkeys(("precision", "recall", "density", "coverage"), "higher"),
    )
    yield _per_extractor(
        name="vendi",
        summary="Vendi score: the effective number of different samples, of orders 1, 2 and infinity",
        measure="genbench.metrics.feature_scores.vendi:measure",
        direction="each",
        estimates=dict.fromkeys(("vendi-q1", "vendi-q2", "vendi-inf"), "higher"),
    )
    yield _per_extractor(
        name="spread",
        summary="variance and effective rank of the samples' features relative to the training images'",
        measure="genbench.metrics.feature_scores.spread:measure",
        direction="each",
        estimates=dict.fromkeys(("feature-variance", "effective-rank"), "higher"),
    )
    yield _per_extractor(
        name="rarity",
        summary="how sparse the training images are around the samples, and the share of samples outside of them",
        measure="genbench.metrics.feature_scores.rarity:measure",
        direction="each",
        estimates={"rarity": "higher", "outside": "lower"},
    )
    yield _per_extractor(
        name="fld",
        summary="feature likelihood divergence: held-out images under a mixture around the samples, and its gap",
        measure="genbench.metrics.feature_scores.feature_likelihood:measure",
        direction="each",
        estimates={"fld": "lower", "fld-gap": "higher"},
    )
    yield _per_extractor(
        name="per-class",
        summary="Fréchet distance, precision and recall within each class of a conditional model, their means",
        measure="genbench.metrics.feature_scores.per_class:measure",
        direction="each",
        estimates={"class-fd": "lower", "class-precision": "higher", "class-recall": "higher"},
    )
    yield _per_extractor(
        name="class-score",
        summary="how confidently the extractor classifies the samples, and how diverse their classes are",
        measure="genbench.metrics.class_score:measure",
        direction="higher",
        needs_classes=True,
    )
    yield _per_extractor(
        name="class-balance",
        summary="share of samples in excess in some classes",
        measure="genbench.metrics.class_balance:measure",
        direction="lower",
        needs_classes=True,
    )
    yield _per_extractor(
        name="memorisation",
        summary="whether samples copy training images, by nearest neighbours",
        measure="genbench.metrics.memorisation:measure",
        direction="each",
        estimates=dict.fromkeys(("authenticity", "copying-ct", "nearest-ratio"), "higher"),
    )
