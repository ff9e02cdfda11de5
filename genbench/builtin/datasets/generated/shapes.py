"""Images of one shape each, with known, independent factors, drawn from a seed.

The factors of the held-out images are returned with them, except the rotation: a square looks the same after a quarter
turn, an ellipse after half a turn, so the value drawn cannot be recovered from an image.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from genbench import ImageData, Images
from genbench.builtin.datasets.generated.rendering import SHAPES, Factors, render

if TYPE_CHECKING:
    from genbench.builtin.datasets.generated import ShapesOptions

# Fractions of the side. The smallest position equals the largest scale, so that no shape is cut off and the factors can
# be independent.
SCALES = (0.15, 0.3)
POSITIONS = (0.3, 0.7)


def load(options: ShapesOptions, cache: Path) -> ImageData:
    """Return the rendered images, labelled by shape; the last fifth is held out. `cache` is not used."""
    factors = draw_factors(options.count, torch.Generator().manual_seed(options.seed))
    pixels = render(factors, options.size)
    train_size = options.count - options.count // 5
    shown = {"shape": factors.shape, "scale": factors.scale, "x": factors.x, "y": factors.y}
    return ImageData(
        train=Images(pixels[:train_size], factors.shape[:train_size]),
        test=Images(pixels[train_size:], factors.shape[train_size:]),
        class_names=SHAPES,
        factors={name: values[train_size:] for name, values in shown.items()},
    )


def draw_factors(count: int, rng: torch.Generator) -> Factors:
    """Return `count` independent draws, each factor uniform over its range; the same for every image size."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    return Factors(
        shape=torch.randint(len(SHAPES), (count,), generator=rng),
        scale=uniform(*SCALES),
        rotation=uniform(0, 2 * math.pi),
        x=uniform(*POSITIONS),
        y=uniform(*POSITIONS),
    )
