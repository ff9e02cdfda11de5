"""The metric `reconstruction-mse`: squared error per pixel of held-out images' reconstructions."""

from __future__ import annotations

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.reconstruction import mean_and_standard_error, squared_errors

NAME = "reconstruction-mse"


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean over held-out images of the mean over pixels and channels of the squared error, on [0, 1].

    It is the same number whatever a model was trained with, so it compares where training losses do not. The
    standard error is that of the mean over images.
    """
    pairs = evaluation.reconstructions
    if pairs is None:
        return Unavailable(NAME, "the model does not reconstruct images.")
    errors = squared_errors(*pairs)
    value, standard_error = mean_and_standard_error(errors)
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=standard_error,
        n=len(errors),
        direction="lower",
        protocol={"value_range": "[0, 1]", "split": "test", "mean": "over pixels, then images"},
    )
