"""2-D points from narrow Gaussians with known centres: the classic test for mode collapse.

Eight Gaussians on a circle of radius 2 with a standard deviation of 0.02 are the test of Metz et al. (Unrolled
Generative Adversarial Networks, 2017), and a 5×5 grid of spacing 2 with 0.05 that of Srivastava et al. (VEEGAN, 2017).
Here a point is an image of two values, so its coordinates are integer levels of 0 … 255. At a radius of 100 levels the
ring of the literature would have a standard deviation of one level, and rounding would contribute a third of what is
measured. It is 3 levels here, 0.06 at radius 2, and for the grid 0.12 at spacing 2: wider than in the literature, so
that the modes are somewhat easier to hit, and still 25 and 16 standard deviations from their nearest neighbours.

Rounding to levels adds a variance of 1/12, so a mode extends to 3 √(3² + 1/12) ≈ 9.04 levels from its centre. That
covers 1 - exp(-9/2) = 98.9 % of the data.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genbench import ImageData, Images

if TYPE_CHECKING:
    from genbench.builtin.datasets.generated import GaussianOptions

CENTRE = 127.5  # levels
RADIUS = 100.0  # levels, of the ring
SPACING = 50.0  # levels, of the grid
STANDARD_DEVIATION = 3.0  # levels, along each axis, before rounding
REACH = 3 * math.sqrt(STANDARD_DEVIATION**2 + 1 / 12)  # levels: a point farther from every centre is in no mode

RING_MODES = 8
GRID_SIDE = 5


def load_gaussian_ring(options: GaussianOptions, cache: Path) -> ImageData:
    """Return points of eight Gaussians on a circle, labelled by their Gaussian; `cache` is not used."""
    return _load(ring_centres(), options)


def load_gaussian_grid(options: GaussianOptions, cache: Path) -> ImageData:
    """Return points of 25 Gaussians on a square grid, labelled by their Gaussian; `cache` is not used."""
    return _load(grid_centres(), options)


def mode_of_gaussian_ring(pixels: Tensor) -> Tensor:
    """Return the mode of each uint8 point (N, 1, 1, 2) as int64 (N,); -1 where it is in none."""
    return nearest_mode(pixels, ring_centres())


def mode_of_gaussian_grid(pixels: Tensor) -> Tensor:
    """Return the mode of each uint8 point (N, 1, 1, 2) as int64 (N,); -1 where it is in none."""
    return nearest_mode(pixels, grid_centres())


def ring_centres() -> Tensor:
    """Return the ring's centres (8, 2) as (x, y) in levels, counter-clockwise from the right."""
    angles = torch.arange(RING_MODES, dtype=torch.float64) * (2 * math.pi / RING_MODES)
    return CENTRE + RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def grid_centres() -> Tensor:
    """Return the grid's centres (25, 2) as (x, y) in levels, row by row from the smallest x and y."""
    steps = (torch.arange(GRID_SIDE, dtype=torch.float64) - (GRID_SIDE - 1) / 2) * SPACING
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return CENTRE + torch.stack([x.flatten(), y.flatten()], dim=1)


def draw_points(centres: Tensor, count: int, rng: torch.Generator) -> Images:
    """Return `count` points in random order, as many (to within one) from each of the Gaussians at `centres`."""
    modes = torch.arange(count)[torch.randperm(count, generator=rng)] % len(centres)
    noise = torch.randn((count, 2), generator=rng, dtype=torch.float64) * STANDARD_DEVIATION
    levels = (centres[modes] + noise).round().clamp(0, 255).to(torch.uint8)
    return Images(levels.view(count, 1, 1, 2), modes)


def nearest_mode(pixels: Tensor, centres: Tensor) -> Tensor:
    """Return the nearest of `centres` (M, 2) to each uint8 point (N, 1, 1, 2), or -1 where it is beyond `REACH`."""
    points, centres = pixels.flatten(1).double(), centres.to(pixels.device)
    distance, mode = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    return torch.where(distance <= REACH, mode, -1)


def _load(centres: Tensor, options: GaussianOptions) -> ImageData:
    rng = torch.Generator().manual_seed(options.seed)
    held_out = options.count // 5
    return ImageData(
        train=draw_points(centres, options.count - held_out, rng), test=draw_points(centres, held_out, rng)
    )
