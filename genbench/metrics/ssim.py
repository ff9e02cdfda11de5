"""The metric `ssim`: structural similarity of held-out images and their reconstructions."""

from __future__ import annotations

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.reconstruction import mean_and_standard_error
from genbench.metrics.structural_similarity import SIGMA, WINDOW, ssim

NAME = "ssim"


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean over held-out images of the SSIM with their reconstructions: 1 where they are the same.

    The range of the values is 1, whatever the images span. The standard error is that of the mean over images.
    """
    pairs = evaluation.reconstructions
    if pairs is None:
        return Unavailable(NAME, "the model does not reconstruct images.")
    try:
        found = ssim(*pairs)
    except ValueError as error:
        return Unavailable(NAME, str(error))
    value, standard_error = mean_and_standard_error(found)
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=standard_error,
        n=len(found),
        direction="higher",
        protocol={"data_range": 1.0, "window": WINDOW, "sigma": SIGMA, "split": "test", "mean": "of each image's SSIM"},
    )
