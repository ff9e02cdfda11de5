"""The metrics `precision-…`, `recall-…`, `density-…` and `coverage-…`: the overlap of two sets of images."""

from __future__ import annotations

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of, random_subset
from genbench.metrics.manifolds import K, expected_coverage, overlap
from genbench.metrics.standard_errors import make_blocks


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the four estimates of `genbench.metrics.manifolds.overlap`; their names state k and the number of images.

    All four depend on the number of images, so both sets have the same number: a random subset of the larger one is
    used, always the same for the training images. The errors cover the drawing of samples.
    """
    name = earned_name("prdc", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train", at_least=K + 1)
    except ValueError as error:
        return [Unavailable(name, str(error))]
    n = min(len(samples), len(train))
    samples, train = random_subset(samples, n), random_subset(train, n)
    found = overlap(train, samples, make_blocks(n, evaluation.generator(f"jackknife of {name}")))
    nulls = {"density": 1.0, "coverage": expected_coverage(n, n)}
    return [
        Estimate(
            metric=name.replace("prdc", f"{which}-k{K}-n{n}", 1),
            value=score.value,
            standard_error=score.standard_error,
            n=n,
            direction="higher",
            protocol=protocol_of(
                evaluation, extractor, n_reference=n, k=K, rule="distance < radius, an image is not its own neighbour"
            ),
            null=nulls.get(which),
        )
        for which, score in found._asdict().items()
    ]
