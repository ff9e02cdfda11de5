"""The metrics `precision-…`, `recall-…`, `density-…` and `coverage-…`: the overlap of two sets of images."""

from __future__ import annotations

from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import (
    SUBSET_SEED,
    comparable_features,
    earned_name,
    protocol_of,
    random_subset,
    too_many_copies,
)
from genbench.metrics.manifolds import K, Overlap, expected_coverage, overlap, radii
from genbench.metrics.standard_errors import make_blocks

_RULE = "distance < radius, an image is not its own neighbour"


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the four estimates of `genbench.metrics.manifolds.overlap`; their names state k and the number of images.

    All four depend on the number of images, so both sets have the same number: a random subset of the larger one is
    used, as the protocol says, always the same for the training images. The errors cover the drawing of samples.

    The ball of an image with k exact copies is empty. Where a set has many of these, the numbers that its balls decide
    would be near 0 for a perfect generator too: they are unavailable.
    """
    name = earned_name("prdc", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train", at_least=K + 1)
    except ValueError as error:
        return [Unavailable(name, str(error))]
    n = min(len(samples), len(train))
    subset = _subset(len(samples), len(train))
    samples, train = random_subset(samples, n), random_subset(train, n)
    empty = {"training images": too_many_copies(train, K), "samples": too_many_copies(samples, K)}
    blocks = make_blocks(n, evaluation.generator(f"jackknife of {name}"))
    device = evaluation.device
    own = evaluation.of_data(
        f"{name}: radii of {n}", lambda: computed_on(device, lambda real: radii(real).cpu(), train)
    )

    def measured(real: Tensor, samples: Tensor, radii: Tensor) -> Overlap:
        return overlap(real, samples, blocks, real_radii=radii)

    found = computed_on(device, measured, train, samples, own)
    nulls = {"density": 1.0, "coverage": expected_coverage(n, n)}
    results: list[Estimate | Unavailable] = []
    for which, score in found._asdict().items():
        metric = name.replace("prdc", f"{which}-k{K}-n{n}", 1)
        balls = "samples" if which == "recall" else "training images"
        if empty[balls]:
            reason = (
                f"{empty[balls]} of the {n} {balls} have {K} or more exact copies among the others, so that nothing is "
                "nearer than their neighbours; remove the copies."
            )
            results.append(Unavailable(metric, reason))
            continue
        estimate = Estimate(
            metric=metric,
            value=score.value,
            standard_error=score.standard_error,
            n=n,
            direction="higher",
            protocol=protocol_of(evaluation, extractor, n_reference=n, k=K, rule=_RULE, **subset),
            null=nulls.get(which),
        )
        results.append(estimate)
    return results


def _subset(samples: int, train: int) -> dict[str, str]:
    """Return the entry of the protocol that says which images were used; empty where all were."""
    if samples == train:
        return {}
    which, of = ("samples", samples) if samples > train else ("reference images", train)
    return {"subset": f"{min(samples, train)} of {of} {which}, at random with seed {SUBSET_SEED}"}
