"""A dataset whose entropy is known, for models that compute or bound a likelihood.

Pixels are round(128 + a z + s e_i): one z ~ N(0, 1) for the whole image, one e_i for each pixel, a = 16 and s = 8
levels. Rounding a Gaussian to cells of width 1 leaves its differential entropy up to terms of the order exp(-2π² s²),
and levels beyond 0 … 255 are 7 deviations away, so that in bits for each of D pixels

    H = ½ log₂(2πe s²) + log₂(1 + D a² / s²) / 2D

No model can take fewer, and a model that has learned the distribution takes as many.

    genbench run --plugin benchmarks/likelihoods/gaussian_levels.py --datasets gaussian-levels --models vae
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

import genbench

COMMON, OWN = 16.0, 8.0  # levels: a and s


@dataclass(frozen=True)
class Options:
    """Options of the dataset."""

    size: int = genbench.option(4, "height and width in pixels", minimum=1, maximum=64)
    count: int = genbench.option(25_000, "images, a fifth of them held out", minimum=10, maximum=1_000_000)
    seed: int = genbench.option(0, "random seed", minimum=0)


def entropy(pixels: int) -> float:
    """Return the entropy in bits per pixel of images with so many pixels."""
    own = 0.5 * math.log2(2 * math.pi * math.e * OWN**2)
    return own + math.log2(1 + pixels * COMMON**2 / OWN**2) / (2 * pixels)


def draw(count: int, size: int, rng: torch.Generator) -> torch.Tensor:
    """Return uint8 images (count, 1, size, size)."""
    common = torch.randn(count, 1, 1, 1, generator=rng)
    own = torch.randn(count, 1, size, size, generator=rng)
    return (128 + COMMON * common + OWN * own).round().clamp(0, 255).to(torch.uint8)


def bits_per_pixel(images: torch.Tensor) -> float:
    """Return the mean of -log₂ P / D of uint8 images under the distribution that they were drawn from."""
    levels = images.double().flatten(1)
    covariance = COMMON**2 + OWN**2 * torch.eye(levels.shape[1], dtype=torch.float64)
    mean = torch.full((levels.shape[1],), 128.0, dtype=torch.float64)
    nats = -torch.distributions.MultivariateNormal(mean, covariance).log_prob(levels)
    return float(nats.mean()) / (levels.shape[1] * math.log(2))


def load(options: Options, cache: Path) -> genbench.ImageData:
    """Return the images; those held out are drawn after the others."""
    pixels = draw(options.count, options.size, torch.Generator().manual_seed(options.seed))
    held_out = max(1, options.count // 5)
    return genbench.ImageData(genbench.Images(pixels[:-held_out]), genbench.Images(pixels[-held_out:]))


@genbench.hookimpl
def genbench_datasets() -> Iterable[genbench.DatasetSpec]:
    """Register the dataset."""
    yield genbench.DatasetSpec(
        name="gaussian-levels",
        summary="256 levels of correlated Gaussian pixels, whose entropy is known",
        image_shape=(1, 4, 4),
        load=load,
        options=Options,
        licence="none needed",
        source="generated from a seed",
    )
