"""The metric ``fd-<extractor>``: the Fréchet distance of the generated images from the training images."""

from __future__ import annotations

from genbench.exchange import Estimate, Evaluation, Unavailable
from genbench.metrics.frechet import frechet_distance, jackknife_standard_error, statistics, whiten
from genbench.metrics.jackknife import make_blocks


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the distance between the samples' and the training images' features, under the name it has earned.

    Where the extractor asks for it, both are first whitened by the training images' statistics, so that the scale of
    a feature does not matter. The standard error is that of drawing the samples, from the delete-block jackknife;
    the training images are a fixed reference. The value falls with the number of samples even for a perfect model
    (its bias goes as 1/n): compare at equal n.
    """
    loaded = evaluation.extractor(extractor)
    if len(evaluation.samples.pixels) < 2:
        return Unavailable(loaded.name, "a Fréchet distance needs two samples at least.")
    samples = evaluation.features(extractor, "samples")
    reference = evaluation.statistics(extractor, "train")
    n_reference = len(evaluation.train.pixels)
    if loaded.whiten:
        transform = whiten(reference)
        samples, reference = transform(samples), statistics(transform(evaluation.features(extractor, "train")))
    blocks = make_blocks(len(samples), evaluation.generator(f"jackknife of {extractor}"))
    return Estimate(
        metric=loaded.name,
        value=frechet_distance(statistics(samples), reference),
        standard_error=jackknife_standard_error(samples, reference, blocks) if blocks else None,
        n=len(samples),
        direction="lower",
        protocol={
            **loaded.protocol,
            "reference_split": "train",
            "n_reference": n_reference,
            "whitened": loaded.whiten,
            "ddof": 1,
        },
    )
