"""The metrics `reconstruction-mse`, `psnr` and `ssim`: how closely a model reconstructs held-out images.

All of them compare values on [0, 1], whatever range the model was trained on, so they compare where training losses do
not. Standard errors are those of the mean over images.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from genbench.api.evaluation import Direction, Estimate, Evaluation, Unavailable
from genbench.metrics.standard_errors import mean_and_standard_error
from genbench.metrics.structural_similarity import SIGMA, WINDOW, ssim

MSE, PSNR, SSIM = "reconstruction-mse", "psnr", "ssim"
CAP = 100.0  # dB; rounding to 8 bits alone leaves 59 dB, and above 100 dB float32 rounding dominates


def measure_mse(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean over held-out images of the mean squared error over pixels and channels."""
    mean = "over pixels, then images"
    return _measure(evaluation, MSE, "lower", squared_errors, value_range="[0, 1]", split="test", mean=mean)


def measure_psnr(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean over held-out images of each image's own peak signal-to-noise ratio in dB.

    Image restoration reports this mean of the ratios. It is never smaller than the ratio of the mean error (Jensen's
    inequality), which a few bad images dominate.
    """

    def per_image(originals: Tensor, reconstructions: Tensor) -> Tensor:
        return peak_signal_to_noise_ratio(squared_errors(originals, reconstructions))

    mean = "of each image's PSNR"
    return _measure(evaluation, PSNR, "higher", per_image, value_range="[0, 1]", split="test", mean=mean, cap_db=CAP)


def measure_ssim(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean structural similarity of held-out images and their reconstructions: 1 for identical images.

    The data range is always 1, whatever the images span.
    """
    window: dict[str, float] = {"data_range": 1.0, "window": WINDOW, "sigma": SIGMA}
    try:
        return _measure(evaluation, SSIM, "higher", ssim, **window, split="test", mean="of each image's SSIM")
    except ValueError as error:
        return Unavailable(SSIM, str(error))


def squared_errors(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """Return each image's mean squared error per pixel, (N,) float64, of images (N, channels, height, width) in [0, 1].

    Raises ValueError where the two sets differ in shape or are empty.
    """
    if originals.shape != reconstructions.shape:
        raise ValueError(
            f"{tuple(reconstructions.shape)} reconstructions of {tuple(originals.shape)} images: shapes must agree."
        )
    if len(originals) == 0:
        raise ValueError("there are no held-out images to reconstruct.")
    return (originals.double() - reconstructions.double()).square().flatten(1).mean(1)


def peak_signal_to_noise_ratio(errors: Tensor) -> Tensor:
    """Return 10 log₁₀(1 / MSE) in dB for each mean squared error on [0, 1], at most `CAP`: never infinite."""
    return -10 * errors.clamp_min(10 ** (-CAP / 10)).log10()


def _measure(
    evaluation: Evaluation,
    name: str,
    direction: Direction,
    per_image: Callable[[Tensor, Tensor], Tensor],
    **protocol: str | float,
) -> Estimate | Unavailable:
    pairs = evaluation.reconstructions
    if pairs is None:
        return Unavailable(name, "the model does not reconstruct images.")
    values = per_image(*pairs)
    value, standard_error = mean_and_standard_error(values)
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error,
        n=len(values),
        direction=direction,
        protocol=protocol,
    )
