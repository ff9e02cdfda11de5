"""Sample grids: a grid of images with any number of channels, a scatter plot of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genbench.api.images import Images
from genbench.report.html.contact_sheet import contact_sheet
from genbench.sampling.sample_grids import (
    save_sample_grids,
    write_grid,
    write_pairs,
    write_samples,
    write_scatter,
)
from genbench.sampling.sampler import Drawn

GROUND = [32, 32, 32]


def points(*places: tuple[int, ...]) -> Tensor:
    return torch.tensor(places, dtype=torch.uint8).view(len(places), 1, 1, -1)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).copy()


def coloured(picture: np.ndarray) -> np.ndarray:
    """Return rows and columns of all pixels that are not background."""
    return np.argwhere((picture != GROUND).any(axis=2))


@pytest.mark.parametrize(("channels", "expected"), [(1, [7, 7, 7]), (3, [7, 8, 9]), (4, [7, 8, 9])])
def test_a_grid_shows_grey_and_colour_images_with_each_pixel_in_place(
    tmp_path: Path, channels: int, expected: list[int]
) -> None:
    pixels = torch.arange(7, 7 + channels, dtype=torch.uint8).view(1, channels, 1, 1).expand(5, channels, 3, 4)
    write_grid(tmp_path / "grid.png", pixels, columns=2)
    picture = read(tmp_path / "grid.png")
    assert picture.shape == (3 * (3 + 2) + 2, 2 * (4 + 2) + 2, 3)
    assert picture[2:5, 2:6].reshape(-1, 3).tolist() == [expected] * 12
    assert picture[0, 0].tolist() == GROUND
    assert picture[12:15, 8:12].reshape(-1, 3).tolist() == [GROUND] * 12  # the sixth place is empty


def test_x_points_right_and_y_up(tmp_path: Path) -> None:
    centres = []
    for place in ((0, 0), (255, 0), (0, 255), (255, 255)):
        write_scatter(tmp_path / "plot.png", points(place), points(place))
        centres.append(coloured(read(tmp_path / "plot.png")).mean(axis=0))
    (bottom_left, bottom_right, top_left, top_right) = centres
    side = 520
    assert bottom_left.tolist() == pytest.approx([side - 5, 4], abs=3)
    assert bottom_right.tolist() == pytest.approx([side - 5, side - 5], abs=3)
    assert top_left.tolist() == pytest.approx([4, 4], abs=3)
    assert top_right.tolist() == pytest.approx([4, side - 5], abs=3)


def test_samples_are_brighter_than_the_training_points_and_drawn_over_them(tmp_path: Path) -> None:
    write_scatter(tmp_path / "plot.png", points((50, 50)), points((50, 50), (200, 200)))
    picture = read(tmp_path / "plot.png").astype(int).sum(axis=2)
    sample, training = picture[:, :250].max(), picture[:, 300:].max()
    assert sample > 1.5 * training > 1.5 * sum(GROUND)
    assert not (picture[:, :250] == training).any()


@pytest.mark.parametrize("values", [(9,), (9, 9), (9, 9, 9)])
def test_points_of_any_number_of_coordinates_are_drawn_by_their_first_two(
    tmp_path: Path, values: tuple[int, ...]
) -> None:
    write_scatter(tmp_path / "plot.png", points(values), points(values))
    down, across = coloured(read(tmp_path / "plot.png")).mean(axis=0)
    assert across == pytest.approx(4 + 2 * 9, abs=1)
    assert down == pytest.approx(4 + 2 * (255 - (9 if len(values) > 1 else 0)), abs=1)


def test_points_are_plotted_and_images_laid_out_in_a_grid(tmp_path: Path) -> None:
    pixels = torch.zeros((100, 1, 1, 2), dtype=torch.uint8)
    write_samples(tmp_path / "plot.png", pixels, pixels)
    write_samples(tmp_path / "grid.png", pixels)
    assert read(tmp_path / "plot.png").shape == (520, 520, 3)
    assert read(tmp_path / "grid.png").shape == (8 * 3 + 2, 8 * 4 + 2, 3)


@pytest.mark.parametrize("of_points", [True, False])
def test_reconstructions_of_points_are_drawn_over_the_originals(tmp_path: Path, of_points: bool) -> None:
    originals = torch.full((40, 1, 1, 2), 0.25)
    again = torch.full((40, 1, 1, 2), 0.75)
    again[0] = torch.nan
    train = torch.zeros((10, 1, 1, 2), dtype=torch.uint8)
    drawn = Drawn(Images(train), (originals, again), identical=False)
    save_sample_grids(drawn, tmp_path / "samples.png", tmp_path / "again.png", train if of_points else None)
    picture = read(tmp_path / "again.png")
    if of_points:
        assert picture.shape == (520, 520, 3)
        assert len(np.unique(picture[coloured(picture)[:, 0], coloured(picture)[:, 1]], axis=0)) == 2
    else:
        assert picture.shape == (8 * 3 + 2, 8 * 4 + 2, 3)  # four rows of originals, each above its reconstructions


def test_pairs_are_drawn_one_above_the_other(tmp_path: Path) -> None:
    above, below = (torch.full((3, 1, 4, 5), level, dtype=torch.uint8) for level in (200, 90))
    write_pairs(tmp_path / "pairs.png", above, below)
    picture = read(tmp_path / "pairs.png")
    assert picture.shape == (2 * 6 + 2, 3 * 7 + 2, 3)
    assert (picture[2:6, 2:7] == 200).all()
    assert (picture[8:12, 16:21] == 90).all()


def test_a_contact_sheet_uses_a_scatter_plot_unchanged(tmp_path: Path) -> None:
    write_scatter(tmp_path / "plot.png", points((100, 100)), points((0, 0)))
    tile = read(tmp_path / "plot.png")
    sheet = np.asarray(contact_sheet([("a ring", tmp_path / "plot.png")]))
    places = [
        (top, left)
        for top in range(sheet.shape[0] - 519)
        for left in range(sheet.shape[1] - 519)
        if (sheet[top : top + 520, left : left + 520] == tile).all()
    ]
    assert len(places) == 1
