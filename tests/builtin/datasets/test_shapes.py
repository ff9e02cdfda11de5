"""The rendered shapes: areas in closed form, symmetries, and correct factors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.builtin.datasets.generated import ShapesOptions
from genbench.builtin.datasets.generated.rendering import SHAPES, Factors, render
from genbench.builtin.datasets.generated.shapes import draw_factors, load

AREAS = {"square": 2.0, "ellipse": math.pi / 2, "heart": 1 + math.pi / 4}  # times the square of the scale


def factors(shape: int, scale: float = 0.25, rotation: float = 0.0, x: float = 0.5, y: float = 0.5) -> Factors:
    return Factors(torch.tensor([shape]), *(torch.tensor([value]) for value in (scale, rotation, x, y)))


def picture(size: int = 64, **given: float) -> Tensor:
    return render(factors(**given), size)[0, 0].double() / 255  # type: ignore[arg-type]


shapes = st.integers(0, 2)
rotations = st.floats(0, 6.28)


@given(shape=shapes, scale=st.floats(0.15, 0.3), rotation=rotations, x=st.floats(0.3, 0.7), y=st.floats(0.3, 0.7))
def test_the_white_area_is_that_of_the_shape_at_any_position(
    shape: int, scale: float, rotation: float, x: float, y: float
) -> None:
    covered = float(picture(shape=shape, scale=scale, rotation=rotation, x=x, y=y).mean())
    assert covered == pytest.approx(AREAS[SHAPES[shape]] * scale**2, rel=0.03)


@given(shape=shapes, rotation=rotations)
def test_a_quarter_turn_of_the_shape_is_a_quarter_turn_of_the_image(shape: int, rotation: float) -> None:
    turned = picture(shape=shape, rotation=rotation + math.pi / 2)
    assert (turned - torch.rot90(picture(shape=shape, rotation=rotation))).abs().max() <= 2 / 255


@given(shape=shapes, rotation=rotations, right=st.integers(-8, 8), down=st.integers(-8, 8))
def test_moving_the_centre_by_whole_pixels_shifts_the_image(shape: int, rotation: float, right: int, down: int) -> None:
    moved = picture(shape=shape, scale=0.2, rotation=rotation, x=0.5 + right / 64, y=0.5 + down / 64)
    still = picture(shape=shape, scale=0.2, rotation=rotation)
    assert (moved - still.roll((down, right), (0, 1))).abs().max() <= 2 / 255


@given(shape=shapes, rotation=rotations)
def test_a_small_image_is_the_average_of_a_large_one(shape: int, rotation: float) -> None:
    large = picture(256, shape=shape, rotation=rotation)
    averaged = torch.nn.functional.avg_pool2d(large[None, None], 8)[0, 0]
    difference = (picture(32, shape=shape, rotation=rotation) - averaged).abs()
    assert difference.max() < 0.25  # at corners a pixel is not cut by one straight line
    assert difference.mean() < 0.01


def test_edges_are_grey_and_interiors_white_on_black() -> None:
    for shape in range(3):
        levels = render(factors(shape, rotation=0.3), 64).unique()
        assert {0, 255} <= set(levels.tolist())
        assert len(levels) > 20
    assert float(picture(shape=1)[32, 32]) == 1.0  # the ellipse's centre, where its gradient vanishes


def test_a_heart_stands_on_its_tip_and_is_symmetric() -> None:
    heart = picture(shape=2)
    torch.testing.assert_close(heart, heart.flip(1), rtol=0, atol=1 / 255)
    widths = heart.sum(1)
    assert widths[18:24].mean() > 2 * widths[42:48].mean()


def test_images_do_not_depend_on_the_rest_of_the_batch() -> None:
    drawn = draw_factors(20, torch.Generator().manual_seed(0))
    together = render(drawn, 512)  # more than are rendered at a time
    alone = torch.cat([render(Factors(*(factor[index : index + 1] for factor in drawn)), 512) for index in range(20)])
    assert torch.equal(together, alone)


def test_no_shape_touches_the_edge_and_every_factor_covers_its_range() -> None:
    drawn = draw_factors(5000, torch.Generator().manual_seed(0))
    for centre in (drawn.x, drawn.y):
        assert ((centre - drawn.scale > -1e-6) & (centre + drawn.scale < 1 + 1e-6)).all()
    for factor, low, high in ((drawn.scale, 0.15, 0.3), (drawn.rotation, 0, 2 * math.pi), (drawn.x, 0.3, 0.7)):
        assert float(factor.min()) == pytest.approx(low, abs=0.01 * (high - low))
        assert float(factor.max()) == pytest.approx(high, abs=0.01 * (high - low))
    correlations = torch.corrcoef(torch.stack([factor.double() for factor in drawn]))
    assert (correlations - torch.eye(5)).abs().max() < 5 / math.sqrt(5000)


@pytest.mark.parametrize("size", [28, 32, 64])
def test_the_size_changes_only_the_resolution(size: int) -> None:
    data = load(ShapesOptions(size=size, count=23), Path("unused"))
    assert torch.as_tensor(data.train.pixels).shape == (19, 1, size, size)
    assert torch.as_tensor(data.test.pixels).shape == (4, 1, size, size)
    other = load(ShapesOptions(size=96, count=23), Path("unused"))
    assert torch.equal(torch.as_tensor(data.train.labels), torch.as_tensor(other.train.labels))
    means = [torch.as_tensor(d.train.pixels).double().mean((1, 2, 3)) for d in (data, other)]
    torch.testing.assert_close(means[0], means[1], rtol=0.05, atol=0.5)


def test_a_seed_determines_the_images() -> None:
    first, again, other = (
        torch.as_tensor(load(ShapesOptions(size=16, count=10, seed=seed), Path("unused")).train.pixels)
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
