"""What the reconstruction metrics share: squared errors image by image, and the mean of independent images."""

from __future__ import annotations

from torch import Tensor


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


def mean_and_standard_error(values: Tensor) -> tuple[float, float | None]:
    """Return the mean of one number per image, (N,), and its standard error (None for a single image)."""
    error = float(values.std(correction=1)) / len(values) ** 0.5 if len(values) > 1 else None
    return float(values.mean()), error
