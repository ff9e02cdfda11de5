"""The Gaussian ring and grid: positions and widths of the modes, and which points are in one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench import Images
from genbench.builtin.datasets.generated import GaussianOptions
from genbench.builtin.datasets.generated.gaussians import (
    REACH,
    STANDARD_DEVIATION,
    grid_centres,
    load_gaussian_grid,
    load_gaussian_ring,
    mode_of_gaussian_grid,
    mode_of_gaussian_ring,
    ring_centres,
)

CASES = [
    pytest.param(load_gaussian_ring, mode_of_gaussian_ring, ring_centres(), id="ring"),
    pytest.param(load_gaussian_grid, mode_of_gaussian_grid, grid_centres(), id="grid"),
]


def tensors(images: Images) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(images.pixels), torch.as_tensor(images.labels)


def test_the_ring_has_radius_100_and_the_grid_5_by_5_centres_50_apart() -> None:
    assert (ring_centres() - 127.5).norm(dim=1).tolist() == pytest.approx([100.0] * 8)
    assert ring_centres()[2].tolist() == pytest.approx([127.5, 227.5])  # a quarter turn from the right is the top
    assert sorted(set(grid_centres()[:, 0].tolist())) == [27.5, 77.5, 127.5, 177.5, 227.5]
    assert len({tuple(centre) for centre in grid_centres().tolist()}) == 25


@pytest.mark.parametrize(("load", "mode_of", "centres"), CASES)
def test_no_modes_overlap_and_none_is_cut_off_at_the_ends_of_the_range(
    load: object, mode_of: object, centres: Tensor
) -> None:
    assert torch.pdist(centres).min() > 4 * REACH
    assert centres.min() - REACH > 0
    assert centres.max() + REACH < 255


@pytest.mark.parametrize(("load", "mode_of", "centres"), CASES)
def test_rounded_points_have_the_stated_centre_variance_and_fraction_within_three_deviations(
    load: Callable[..., object], mode_of: Callable[[Tensor], Tensor], centres: Tensor
) -> None:
    pixels, labels = tensors(load(GaussianOptions(), Path("unused")).train)  # type: ignore[attr-defined]
    offsets = pixels.flatten(1).double() - centres[labels]
    n = len(pixels)
    variance = STANDARD_DEVIATION**2 + 1 / 12
    assert offsets.mean(0).abs().max() < 5 * math.sqrt(variance / n)
    assert offsets.square().mean(0).tolist() == pytest.approx([variance] * 2, rel=5 * math.sqrt(2 / n))
    modes = mode_of(pixels)
    assert float((modes >= 0).double().mean()) == pytest.approx(1 - math.exp(-4.5), abs=0.002)
    assert torch.equal(modes[modes >= 0], labels[modes >= 0])
    assert modes.dtype == torch.int64


@pytest.mark.parametrize(("load", "mode_of", "centres"), CASES)
def test_each_mode_is_drawn_equally_often_in_both_splits_and_in_random_order(
    load: Callable[..., object], mode_of: object, centres: Tensor
) -> None:
    data = load(GaussianOptions(count=1003), Path("unused"))
    for split, size in ((data.train, 803), (data.test, 200)):  # type: ignore[attr-defined]
        pixels, labels = tensors(split)
        assert pixels.shape == (size, 1, 1, 2)
        counts = torch.bincount(labels, minlength=len(centres))
        assert int(counts.max() - counts.min()) <= 1
        assert labels[: len(centres)].tolist() != list(range(len(centres)))


def test_a_point_just_beyond_three_deviations_is_in_no_mode() -> None:
    x, y = 27, 127  # half a level from the grid's centre (27.5, 127.5) along both axes
    inside, outside = (torch.tensor([x + 9, y], dtype=torch.uint8), torch.tensor([x + 10, y], dtype=torch.uint8))
    found = mode_of_gaussian_grid(torch.stack([inside, outside]).view(2, 1, 1, 2))
    assert math.hypot(8.5, 0.5) < REACH < math.hypot(9.5, 0.5)
    assert found.tolist() == [10, -1]


def test_a_seed_fixes_the_points_and_another_changes_them() -> None:
    def points(seed: int) -> Tensor:
        return tensors(load_gaussian_ring(GaussianOptions(count=100, seed=seed), Path("unused")).train)[0]

    torch.manual_seed(1)
    first = points(0)
    torch.manual_seed(2)
    assert torch.equal(first, points(0))
    assert not torch.equal(first, points(1))
