"""Geometric augmentation: rotated, shifted and flipped images equal those that plain indexing gives."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genbench.api.recipe import resolve_recipe
from genbench.data.augment import GeometricTransform, affine, make_transform
from genbench.errors import UsageError

ALL = {"augment_flip": 0.5, "augment_rotate": 30.0, "augment_scale": 0.2, "augment_crop": 0.1}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    return torch.rand(count, channels, height, width, generator=rng(1)) * 2 - 1


def changed(
    images: Tensor,
    angle: float = 0.0,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
) -> Tensor:
    count = len(images)
    return affine(
        images,
        torch.full((count,), angle),
        torch.full((count,), zoom),
        torch.tensor([shift] * count),
        torch.full((count,), flip),
    )


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_recipe_without_augmentation_has_no_transform() -> None:
    assert make_transform(resolve_recipe({})) is None
    assert make_transform(resolve_recipe({"augment_discriminator": "ada", "augment_target": 0.5})) is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_right_angles_are_rot90(channels: int, turns: int) -> None:
    images = some_images(channels=channels)
    assert_same(changed(images, angle=90.0 * turns), torch.rot90(images, turns, (-2, -1)))


def test_half_a_turn_of_an_oblong_image_is_both_flips() -> None:
    images = some_images(height=6, width=10)
    assert_same(changed(images, angle=180.0), images.flip(-2, -1))


def test_an_oblong_image_is_rotated_not_sheared() -> None:
    """A quarter turn about the centre moves a pixel 2 to its right to 2 above it, whatever the sides."""
    images = torch.zeros(1, 1, 5, 9)
    images[0, 0, 2, 6] = 1.0
    expected = torch.zeros(1, 1, 5, 9)
    expected[0, 0, 0, 4] = 1.0
    assert_same(changed(images, angle=90.0), expected)


@given(down=st.integers(-4, 4), right=st.integers(-4, 4))
def test_whole_shifts_are_slices_with_the_edge_repeated(down: int, right: int) -> None:
    images = some_images(height=7, width=9)
    rows = (torch.arange(7) - down).clamp(0, 6)
    columns = (torch.arange(9) - right).clamp(0, 8)
    assert_same(changed(images, shift=(float(down), float(right))), images[:, :, rows][:, :, :, columns])


def test_a_flip_is_a_flip_and_comes_before_the_shift() -> None:
    images = some_images()
    assert_same(changed(images, flip=True), images.flip(-1))
    assert_same(changed(images, flip=True, shift=(0, 2))[..., 2:], images.flip(-1)[..., :-2])


def test_zoom_magnifies_about_the_centre() -> None:
    """On a linear ramp, bilinear sampling is exact: values are divided by the zoom."""
    ramp = (torch.arange(9.0) - 4).expand(1, 1, 9, 9)
    assert_same(changed(ramp, zoom=2.0), ramp / 2)
    shrunk = changed(ramp, zoom=0.5)
    assert_same(shrunk[..., 2:7], (2 * ramp)[..., 2:7])
    assert shrunk.max() == 4.0  # outside the image its edge is repeated


def test_the_identity_is_the_identity() -> None:
    assert_same(changed(some_images(height=5, width=8)), some_images(height=5, width=8))


def test_flips_alone_are_exact_and_have_the_given_probability() -> None:
    images = some_images(4000, 1, 2, 3)
    flipped = make_transform(resolve_recipe({"augment_flip": 0.3}))
    assert flipped is not None
    found = flipped(images, rng())
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (found == images).flatten(1).all(1)).all())
    assert abs(float(mirrored.float().mean()) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 4000)


@pytest.mark.parametrize(("probability", "expected"), [(0.0, False), (1.0, True)])
def test_never_and_always(probability: float, expected: bool) -> None:
    images = some_images(200, 1, 3, 3)
    found = GeometricTransform(flip=probability, crop=0.0)(images, rng())
    assert torch.equal(found, images.flip(-1) if expected else images)


def test_shifts_are_whole_pixels_uniform_up_to_the_bound() -> None:
    """A single white pixel in the middle shows the shift; 0.2 of 15 pixels is 3 each way, 0.2 of 9 is 1."""
    images = torch.zeros(6000, 1, 15, 9)
    images[:, :, 7, 4] = 1.0
    transform = make_transform(resolve_recipe({"augment_crop": 0.2}))
    assert transform is not None
    found = transform(images, rng())
    place = found.flatten(1).argmax(1)
    assert_same(found.flatten(1).amax(1), torch.ones(6000))
    down = torch.bincount(place // 9, minlength=15)
    right = torch.bincount(place % 9, minlength=9)
    assert down[4:11].sum() == 6000
    assert right[3:6].sum() == 6000
    for counts, values in ((down[4:11], 7), (right[3:6], 3)):
        expected = 6000 / values
        assert float((counts - expected).abs().max()) < 5 * math.sqrt(expected)


def test_angles_and_zooms_stay_within_bounds() -> None:
    """On the ramp x - y·0, a turn by a and zoom z give the gradient (cos a / z, -sin a / z) at the centre."""
    ramp = (torch.arange(15.0) - 7).expand(500, 1, 15, 15)
    found = GeometricTransform(rotate=20.0, scale=0.25)(ramp, rng())
    along_x = (found[:, 0, 7, 8] - found[:, 0, 7, 6]) / 2
    along_y = (found[:, 0, 8, 7] - found[:, 0, 6, 7]) / 2
    angle = torch.atan2(-along_y, along_x).rad2deg()
    zoom = 1 / torch.hypot(along_x, along_y)
    for values, low, high in ((angle, -20.0, 20.0), (zoom, 0.75, 1.25)):
        assert low - 1e-3 < float(values.min()) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < float(values.max()) < high + 1e-3
        assert abs(float(values.mean()) - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * 500)


@given(
    low=st.floats(-2, 0),
    span=st.floats(0.1, 3),
    channels=st.sampled_from([1, 3]),
    size=st.integers(4, 9),
    seed=st.integers(0, 99),
)
def test_the_value_range_is_preserved(low: float, span: float, channels: int, size: int, seed: int) -> None:
    images = torch.rand(5, channels, size, size + 1, generator=rng(seed)).mul(span).add(low).round(decimals=1)
    found = GeometricTransform(flip=0.5, rotate=180, scale=0.9, crop=0.5)(images, rng(seed))
    assert found.shape == images.shape
    assert images.min() <= found.min()
    assert found.max() <= images.max()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("recipe", [{"augment_flip": 0.5}, ALL])
def test_dtype_and_layout_are_preserved_and_the_input_is_unchanged(layout: torch.memory_format, recipe: dict) -> None:  # type: ignore[type-arg]
    images = some_images(height=12, width=12).contiguous(memory_format=layout)
    before = images.clone()
    transform = make_transform(resolve_recipe(recipe))
    assert transform is not None
    found = transform(images, rng())
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=layout)
    assert torch.equal(images, before)
    assert torch.equal(found, transform(images, rng()))  # a seed fixes every bit
    assert transform(images.bfloat16(), rng()).dtype == torch.bfloat16


def test_autocast_does_not_round_the_source_positions() -> None:
    images = some_images(height=32, width=32)
    with torch.autocast("cpu", torch.bfloat16):
        found = changed(images, angle=90.0, shift=(3, 5))
    assert_same(found, changed(images, angle=90.0, shift=(3, 5)))


def test_one_transform_does_not_alter_the_draws_of_the_others() -> None:
    images = some_images(50, 1, 9, 9)
    both = GeometricTransform(flip=0.5, crop=0.2)(images, rng())
    flipped = GeometricTransform(flip=0.5)(images, rng())
    assert_same(both, GeometricTransform(crop=0.2)(flipped, rng()))


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 1, 2), (3, 5, 1)])
def test_points_are_refused(shape: tuple[int, int, int]) -> None:
    for recipe in ({"augment_flip": 0.5}, {"augment_rotate": 10.0}):
        transform = make_transform(resolve_recipe(recipe))
        assert transform is not None
        with pytest.raises(UsageError, match=f"images of {shape[1]}×{shape[2]} are points"):
            transform(torch.zeros(4, *shape), rng())


def test_a_shift_below_a_pixel_is_refused() -> None:
    transform = make_transform(resolve_recipe({"augment_crop": 0.03}))
    assert transform is not None
    with pytest.raises(UsageError, match=r"augment_crop = 0\.03 is less than one pixel.*\n.*0\.0357"):
        transform(some_images(height=28, width=28), rng())
    transform(some_images(height=34, width=34), rng())


class _Synchronisations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert func._schema.name not in ("aten::_local_scalar_dense", "aten::nonzero")
        return func(*args, **(kwargs or {}))


def test_the_host_reads_nothing() -> None:
    transform = make_transform(resolve_recipe(ALL))
    assert transform is not None
    with _Synchronisations():
        transform(some_images(height=12, width=12), rng())
