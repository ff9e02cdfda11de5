"""Geometric augmentation of training images on the device: random flips, rotations, scalings and shifts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from genbench.api.recipe import Recipe
from genbench.errors import UsageError

SMALLEST_SIDE = 2  # pixels; a smaller image is a 2-D point


def make_transform(recipe: Recipe) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """Return the random transform of training batches that the recipe asks for, or None where it asks for none."""
    transform = GeometricTransform(
        flip=recipe.augment_flip,
        rotate=recipe.augment_rotate,
        scale=recipe.augment_scale,
        crop=recipe.augment_crop,
    )
    return transform if transform != GeometricTransform() else None


@dataclass(frozen=True)
class GeometricTransform:
    """A random transform, drawn independently for each image; the fields are the recipe's `augment_…`."""

    flip: float = 0.0  # probability of a horizontal flip
    rotate: float = 0.0  # degrees: angles are uniform in [-rotate, rotate]
    scale: float = 0.0  # sides are multiplied by a factor uniform in [1 - scale, 1 + scale]
    crop: float = 0.0  # fraction of the side: shifts are whole pixels, uniform up to it in each direction

    @torch.no_grad()
    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return transformed images (B, channels, height, width): same dtype, memory format and value range.

        Shifts are whole pixels, so a shift alone does not blur. Enabling one change does not alter the draws of the
        others. Raises `UsageError` where the images are 2-D points, or too small for the shift to move them.
        """
        count, _, height, width = images.shape
        reach = self._reach(height, width)
        # (5, B); the angle and the zoom, then the shift down and right, are uniform in [-1, 1]
        draws = torch.rand(5, count, generator=rng, device=images.device)
        flip = draws[0] < self.flip
        if not (self.rotate or self.scale or self.crop):
            return torch.where(flip.view(-1, 1, 1, 1), images.flip(-1), images)
        shift = torch.stack([(u * (2 * most + 1)).floor() - most for u, most in zip(draws[3:], reach, strict=True)], 1)
        angle, zoom = (2 * draws[1] - 1) * self.rotate, 1 + (2 * draws[2] - 1) * self.scale
        changed = affine(images, angle, zoom, shift, flip)
        lowest, highest = images.aminmax()  # rounding may take interpolated values outside this range
        return changed.clamp_(lowest, highest)

    def _reach(self, height: int, width: int) -> tuple[int, int]:
        """Return the greatest shift down and right, in pixels."""
        if min(height, width) < SMALLEST_SIDE:
            raise UsageError(
                f"augment_flip, augment_rotate, augment_scale and augment_crop cannot be used: images of "
                f"{height}×{width} are points.",
                "Set them to 0 for this dataset.",
                code="GB510",
            )
        down, right = (int(self.crop * side + 1e-9) for side in (height, width))
        if self.crop and not (down or right):
            raise UsageError(
                f"augment_crop = {self.crop:g} is less than one pixel for images of {height}×{width}.",
                f"Use 0, or at least {1 / max(height, width):.3g}.",
                code="GB510",
            )
        return down, right


def affine(images: Tensor, angle: Tensor, zoom: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
    """Flip, scale and rotate each image about its centre, then shift it, in one bilinear resampling.

    Pixels outside an image take the value of its nearest edge pixel.

    Args:
        images: float, (B, channels, height, width); pixels are square even where the images are not.
        angle: (B,), degrees, counterclockwise.
        zoom: (B,), greater than 0; 2 doubles the size of the content.
        shift: (B, 2), pixels down and right.
        flip: (B,), bool: whether to flip horizontally.

    Returns:
        Images of the same shape, dtype and memory format.
    """
    height, width = images.shape[-2:]
    exact = images.to(torch.promote_types(images.dtype, torch.float32))  # half precision cannot resolve pixels

    def per_image(values: Tensor) -> Tensor:
        return values.to(exact).view(-1, 1, 1)

    def centred(size: int) -> Tensor:
        return torch.arange(size, dtype=exact.dtype, device=exact.device) - (size - 1) / 2

    # The source position of each output pixel, in pixels from the centre (y points down).
    # Sums and products, not a matrix product, which autocast or TF32 would round.
    y = centred(height).view(1, -1, 1) - per_image(shift[:, 0])
    x = centred(width).view(1, 1, -1) - per_image(shift[:, 1])
    radians = per_image(angle) * (math.pi / 180)
    cosine, sine = radians.cos() / per_image(zoom), radians.sin() / per_image(zoom)
    mirrored = torch.where(per_image(flip).bool(), -1, 1)
    source_x = mirrored * (x * cosine - y * sine)
    source_y = x * sine + y * cosine
    grid = torch.stack([source_x * (2 / width), source_y * (2 / height)], -1)  # (B, height, width, 2), in [-1, 1]
    sampled = grid_sample(exact, grid, mode="bilinear", padding_mode="border", align_corners=False)
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return sampled.to(images.dtype).contiguous(memory_format=layout)
