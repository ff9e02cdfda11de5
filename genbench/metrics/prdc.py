"""The metrics `precision-…`, `recall-…`, `density-…` and `coverage-…`: what the overlap of two sets of images shows."""

from __future__ import annotations

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.feature_sets import comparable_features, earned_name, random_subset
from genbench.metrics.manifolds import K, expected_coverage, overlap
from genbench.metrics.standard_errors import make_blocks


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the four numbers of `genbench.metrics.manifolds.overlap`, with k and the number of images in their names.

    All four depend on how many images there are, so both sides have the same number: of the larger a random subset is
    taken, of the training images always the same one. The errors are those of drawing the samples.
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
    loaded = evaluation.extractor(extractor)
    return [
        Estimate(
            metric=name.replace("prdc", f"{which}-k{K}-n{n}", 1),
            value=score.value,
            standard_error=score.standard_error,
            n=n,
            direction="higher",
            protocol={
                **loaded.protocol,
                "reference_split": "train",
                "n_reference": n,
                "whitened": loaded.whiten,
                "k": K,
                "rule": "distance < radius, an image is not its own neighbour",
            },
            null=nulls.get(which),
        )
        for which, score in found._asdict().items()
    ]
