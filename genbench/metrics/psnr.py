"""The metric `psnr`: peak signal-to-noise ratio of held-out images' reconstructions."""

from __future__ import annotations

from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.reconstruction import mean_and_standard_error, squared_errors

NAME = "psnr"
CAP = 100.0  # dB; rounding to 8 bits alone leaves 59 dB, and above 100 dB lies little but the rounding of float32


def peak_signal_to_noise_ratio(errors: Tensor) -> Tensor:
    """Return 10 log₁₀(1 / MSE) in dB for each mean squared error on [0, 1], at most `CAP`: never infinite."""
    return -10 * errors.clamp_min(10 ** (-CAP / 10)).log10()


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean over held-out images of each image's own PSNR in dB, on [0, 1].

    The mean of the ratios is what image restoration reports; it is not the ratio of the mean error, which a few bad
    images dominate (by Jensen's inequality it is never smaller). The standard error is that of the mean over images.
    """
    pairs = evaluation.reconstructions
    if pairs is None:
        return Unavailable(NAME, "the model does not reconstruct images.")
    ratios = peak_signal_to_noise_ratio(squared_errors(*pairs))
    value, standard_error = mean_and_standard_error(ratios)
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=standard_error,
        n=len(ratios),
        direction="higher",
        protocol={"value_range": "[0, 1]", "split": "test", "mean": "of each image's PSNR", "cap_db": CAP},
    )
