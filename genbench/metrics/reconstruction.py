"""How closely a model reconstructs held-out images: `reconstruction-mse`, `psnr`, `ssim` and others.

All of them compare values on [0, 1], whatever range the model was trained on, so they compare where training losses do
not. Standard errors are those of the mean over images.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from genbench.api.evaluation import Direction, Estimate, Evaluation, Unavailable
from genbench.metrics.standard_errors import mean_and_standard_error, quantile_and_standard_error
from genbench.metrics.structural_similarity import SIGMA, WEIGHTS, WINDOW, ms_ssim, scale_weights, ssim

MSE, PSNR, SSIM, MS_SSIM, ERRORS = (
    "reconstruction-mse",
    "psnr",
    "ssim",
    "reconstruction-ms-ssim",
    "reconstruction-error",
)
QUANTILES = (5, 50, 95, 99)  # per cent
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


def measure_ms_ssim(evaluation: Evaluation) -> list[Estimate | Unavailable]:
    """Return the mean multi-scale similarity of held-out images and their reconstructions: 1 for identical images.

    Images under 176 pixels do not have five scales. They use as many as fit, with weights that sum to 1; as that is
    another number, its name says so: ``reconstruction-ms-ssim-3-scales``.
    """
    if evaluation.reconstructions is None:
        return [Unavailable(MS_SSIM, "the model does not reconstruct images.")]
    height, width = evaluation.reconstructions[0].shape[-2:]
    weights = scale_weights(height, width)
    if not weights:
        reason = f"images of {height}×{width} pixels are smaller than the window of {WINDOW}."
        return [Unavailable(MS_SSIM, reason)]
    scales = len(weights)
    name = MS_SSIM if scales == len(WEIGHTS) else f"{MS_SSIM}-{scales}-scales" if scales > 1 else f"{MS_SSIM}-1-scale"

    def per_image(originals: Tensor, reconstructions: Tensor) -> Tensor:
        return ms_ssim(originals, reconstructions, weights)

    window: dict[str, float] = {"data_range": 1.0, "window": WINDOW, "sigma": SIGMA, "scales": scales}
    mean = "of each image's MS-SSIM"
    return [_measure(evaluation, name, "higher", per_image, **window, negative="0", split="test", mean=mean)]


def measure_errors(evaluation: Evaluation) -> list[Estimate | Unavailable]:
    """Return quantiles over held-out images of each image's mean squared error: 5, 50, 95 and 99 %.

    A mean hides that a few images are not reconstructed at all; the last two show it. A quantile has a standard error
    where there are enough images on either side.
    """
    if evaluation.reconstructions is None:
        return [Unavailable(ERRORS, "the model does not reconstruct images.")]
    errors = squared_errors(*evaluation.reconstructions)
    return [
        Estimate(
            f"{ERRORS}-{percent}",
            *quantile_and_standard_error(errors, percent / 100),
            len(errors),
            "lower",
            {
                "value_range": "[0, 1]",
                "split": "test",
                "quantile": percent / 100,
                "of": "each image's squared error",
                "estimator": "Harrell-Davis",
            },
        )
        for percent in QUANTILES
    ]


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
