"""DiffAugment and ADA: what each change does to pixels and gradients, how often, and how p is controlled."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.errors import UsageError
from genbench.train import discriminator_augment as changes
from genbench.train.discriminator_augment import (
    POLICIES,
    AdaptiveAugment,
    DiffAugment,
    ValueRange,
    make_discriminator_augment,
)

SIGNED, UNIT = ValueRange(-1.0, 1.0), ValueRange(0.0, 1.0)
CPU = torch.device("cpu")
ALL = [change for group in POLICIES.values() for change in group]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 6, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    return torch.rand(count, channels, height, width, generator=rng(1)) * 2 - 1


def made(batch_size: int = 8, values: ValueRange = SIGNED, **recipe: Any) -> Any:
    return make_discriminator_augment(resolve_recipe(recipe), values, batch_size, CPU)


def adaptive(probability: float, *chosen: changes.Change, values: ValueRange = SIGNED) -> AdaptiveAugment:
    augmentation = AdaptiveAugment(chosen or ALL, values, target=0.6, step=0.01)
    augmentation.probability.fill_(probability)
    return augmentation


# ----------------------------------------------------------------------------------------------------------------------
# The changes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("values", [SIGNED, UNIT])
def test_brightness_shifts_by_up_to_a_quarter_of_the_range(channels: int, values: ValueRange) -> None:
    images = some_images(4000, channels, 4, 4)
    added = changes.brightness(images, rng(), values) - images
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added), rtol=0, atol=1e-6)
    quarter = (values.high - values.low) / 4
    assert float(added.abs().max()) <= quarter + 1e-6
    assert abs(float(added.mean())) < 4 * quarter / math.sqrt(3 * 4000)
    assert abs(float(added[:, 0, 0, 0].std()) - quarter / math.sqrt(3)) < 0.05 * quarter


def test_saturation_keeps_each_pixels_mean_and_scales_its_colours() -> None:
    images = some_images()
    found = changes.saturation(images, rng(), SIGNED)
    torch.testing.assert_close(found.mean(1), images.mean(1), rtol=0, atol=1e-6)
    before, after = (x - x.mean(1, keepdim=True) for x in (images, found))
    factor = 2 * torch.rand(6, generator=rng()).view(-1, 1, 1, 1)
    torch.testing.assert_close(after, factor * before, rtol=0, atol=1e-6)


def test_contrast_keeps_each_images_mean_and_scales_its_deviation() -> None:
    images = some_images()
    found = changes.contrast(images, rng(), SIGNED)
    torch.testing.assert_close(found.mean((1, 2, 3)), images.mean((1, 2, 3)), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        found.std((1, 2, 3)) / images.std((1, 2, 3)), 0.5 + torch.rand(6, generator=rng()), rtol=1e-5, atol=1e-5
    )


def test_one_channel_has_no_saturation() -> None:
    images = some_images(channels=1)
    assert torch.equal(changes.saturation(images, rng(), SIGNED), images)


@pytest.mark.parametrize("values", [SIGNED, UNIT])
@pytest.mark.parametrize(("height", "width"), [(16, 24), (28, 28)])
def test_translation_moves_whole_pixels_by_up_to_an_eighth(values: ValueRange, height: int, width: int) -> None:
    images = torch.full((3000, 1, height, width), values.middle)
    images[:, :, height // 2, width // 2] = values.high
    found = changes.translation(images, rng(), values)
    assert torch.equal(found.flatten(1).sum(1), images.flatten(1).sum(1))  # the white pixel is somewhere in each
    place = found.flatten(1).argmax(1)
    down, right = place // width - height // 2, place % width - width // 2
    for shift, side in ((down, height), (right, width)):
        reach = int(side / 8 + 0.5)
        counts = torch.bincount(shift + reach, minlength=2 * reach + 1)
        assert len(counts) == 2 * reach + 1
        assert float((counts - 3000 / len(counts)).abs().max()) < 5 * math.sqrt(3000 / len(counts))


def test_translation_fills_with_grey() -> None:
    found = changes.translation(torch.ones(200, 3, 8, 8), rng(), UNIT)
    assert set(found.unique().tolist()) == {0.5, 1.0}


def test_a_pixels_gradient_returns_to_where_the_pixel_came_from() -> None:
    """The sum of a shifted image depends on each pixel that stayed inside by 1, and on the others not at all."""
    images = some_images(50, 2, 8, 16).double().requires_grad_()
    found = changes.translation(images, rng(), SIGNED)
    (gradient,) = torch.autograd.grad((found * torch.arange(found.numel()).view(found.shape)).sum(), images)
    inside = gradient != 0
    weights = torch.arange(found.numel()).view(found.shape).double()
    # each weight that is not at a grey pixel came back exactly once
    assert torch.equal(gradient[inside].sort().values, weights[found != 0][weights[found != 0] != 0].sort().values)


@pytest.mark.parametrize("size", [8, 9])
def test_cutout_erases_half_the_sides(size: int) -> None:
    found = changes.cutout(torch.ones(2000, 3, size, size), rng(), UNIT)
    assert set(found.unique().tolist()) == {0.5, 1.0}
    assert torch.equal(found[:, 0], found[:, 2])
    rows = (found[:, 0] == 0.5).any(2).sum(1)
    columns = (found[:, 0] == 0.5).any(1).sum(1)
    half = int(size / 2 + 0.5)
    assert torch.equal(rows * columns, (found[:, 0] == 0.5).sum((1, 2)))  # a rectangle
    assert int(rows.max()) == half
    assert int(rows.min()) >= half // 2  # the centre is inside or on the border
    corners = (found[:, 0, 0, 0] == 0.5).float().mean(), (found[:, 0, -1, -1] == 0.5).float().mean()
    assert abs(float(corners[0] - corners[1])) < 0.06  # both sides are equally likely


def test_half_of_the_images_are_mirrored() -> None:
    images = some_images(2000, 1, 4, 4)
    found = changes.flip(images, rng(), SIGNED)
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (found == images).flatten(1).all(1)).all())
    assert abs(float(mirrored.float().mean()) - 0.5) < 0.05


@pytest.mark.parametrize(("height", "width", "turns"), [(6, 6, (0, 1, 2, 3)), (4, 6, (0, 2))])
def test_rotations_are_right_angles_with_equal_frequency(height: int, width: int, turns: tuple[int, ...]) -> None:
    images = some_images(2000, 1, height, width)
    found = changes.rotation(images, rng(), SIGNED)
    matches = torch.stack([(found == torch.rot90(images, k, (-2, -1))).flatten(1).all(1) for k in turns])
    assert bool((matches.sum(0) == 1).all())
    assert float((matches.float().mean(1) - 1 / len(turns)).abs().max()) < 0.05


@pytest.mark.parametrize("change", ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_those_of_finite_differences(change: changes.Change, channels: int) -> None:
    images = some_images(3, channels, 4, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: change(x, rng(), SIGNED), images)


@pytest.mark.parametrize("change", ALL)
def test_a_gradient_penalty_can_be_computed_through_it(change: changes.Change) -> None:
    images = some_images(2, 3, 4, 4).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: change(x, rng(), SIGNED).pow(3), images)


@pytest.mark.parametrize("change", ALL)
def test_the_change_does_not_depend_on_the_value_range(change: changes.Change) -> None:
    """A change of images in [0, 1] is the same change of the same images in [-1, 1]."""
    images = some_images(10, 3, 8, 8)
    torch.testing.assert_close(
        2 * change((images + 1) / 2, rng(), UNIT) - 1, change(images, rng(), SIGNED), rtol=0, atol=1e-5
    )


@given(
    count=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_any_shape_is_kept_in_single_precision(
    count: int, channels: int, height: int, width: int, dtype: torch.dtype
) -> None:
    images = some_images(count, channels, height, width).to(dtype)
    for augmentation in (DiffAugment(ALL, SIGNED), adaptive(0.5)):
        found = augmentation(images, rng())
        assert found.shape == images.shape
        assert found.dtype == torch.float32
        assert bool(found.isfinite().all())


@pytest.mark.parametrize("change", ALL)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_is_kept(change: changes.Change, layout: torch.memory_format) -> None:
    images = some_images().contiguous(memory_format=layout)
    assert change(images, rng(), SIGNED).is_contiguous(memory_format=layout)


# ----------------------------------------------------------------------------------------------------------------------
# Which images are changed


def test_diffaugment_changes_every_image() -> None:
    images = some_images(100, 3, 16, 16)
    found = made(augment_discriminator="diffaugment")(images, rng())
    assert bool((found != images).flatten(1).any(1).all())


def test_real_and_fake_get_the_same_changes_from_the_same_draws() -> None:
    """Random draws depend only on the shape, so real and fake images get the same distribution of changes."""
    for augmentation in (DiffAugment(ALL, SIGNED), adaptive(0.5)):
        first, second = rng(), rng()
        augmentation(some_images(), first)
        augmentation(torch.zeros(6, 3, 8, 8, requires_grad=True), second)
        assert torch.equal(first.get_state(), second.get_state())


def test_gradients_reach_the_fakes() -> None:
    fakes = some_images().requires_grad_()
    made(augment_discriminator="diffaugment")(fakes, rng()).sum().backward()
    assert fakes.grad is not None
    assert bool(fakes.grad.flatten(1).any(1).all())


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_ada_applies_each_change_with_probability_p(probability: float) -> None:
    images = some_images(4000, 1, 4, 4)
    found = adaptive(probability, changes.brightness)(images, rng())
    changed = (found != images).flatten(1).any(1).float().mean()
    assert abs(float(changed) - probability) <= 4 * math.sqrt(probability * (1 - probability) / 4000)


def test_ada_draws_for_each_change_independently() -> None:
    """Two independent changes with p = 0.5: both, one of them, or none, a quarter each."""
    images = some_images(4000, 1, 8, 8)
    found = adaptive(0.5, changes.brightness, changes.contrast)(images, rng())
    brighter = (found.mean((1, 2, 3)) - images.mean((1, 2, 3))).abs() > 1e-5
    stretched = (found.std((1, 2, 3)) / images.std((1, 2, 3)) - 1).abs() > 1e-4
    shares = torch.bincount(brighter.long() + 2 * stretched.long(), minlength=4) / 4000
    assert float((shares - 0.25).abs().max()) < 0.04


def test_at_p_zero_ada_is_the_identity() -> None:
    assert torch.equal(made(augment_discriminator="ada")(some_images(), rng()), some_images())


# ----------------------------------------------------------------------------------------------------------------------
# How p is controlled


def test_p_rises_by_the_papers_step_every_fourth_batch() -> None:
    augmentation = made(batch_size=8, augment_discriminator="ada", augment_speed=3200)
    curve = []
    for _ in range(12):
        augmentation.observe(torch.ones(8))
        curve.append(augmentation.terms()["augment_probability"])
    assert torch.stack(curve).tolist() == pytest.approx([0.0] * 3 + [0.01] * 4 + [0.02] * 4 + [0.03])


def test_p_rises_from_zero_to_one_in_the_images_of_augment_speed() -> None:
    augmentation = made(batch_size=10, augment_discriminator="ada", augment_speed=1000)
    for _ in range(96):
        augmentation.observe(torch.ones(10))
    assert float(augmentation.probability) == pytest.approx(0.96)
    for _ in range(8):
        augmentation.observe(torch.ones(10))
    assert float(augmentation.probability) == 1.0  # and not beyond


@pytest.mark.parametrize(("positive", "direction"), [(10, 1), (8, 0), (7, -1)])
def test_p_follows_the_sign_of_the_difference_from_the_target(positive: int, direction: int) -> None:
    """Of 10 logits, n positive ones make E sign = (2n - 10) / 10; the target is 0.6."""
    augmentation = AdaptiveAugment(ALL, SIGNED, target=0.6, step=0.125)
    augmentation.probability.fill_(0.5)
    logits = torch.cat([torch.full((positive,), 3.0), torch.full((10 - positive,), -0.1)])
    for _ in range(4):
        augmentation.observe(logits)
    assert float(augmentation.probability) == 0.5 + 0.125 * direction


def test_p_stays_non_negative_and_the_count_restarts_after_each_adaptation() -> None:
    augmentation = adaptive(0.0)
    for _ in range(8):
        augmentation.observe(-torch.ones(4))
    assert float(augmentation.probability) == 0.0
    for _ in range(4):
        augmentation.observe(torch.ones(4))  # with the first eight included, the mean would still be negative
    assert float(augmentation.probability) == pytest.approx(0.01)


def test_a_recorded_value_does_not_change_later() -> None:
    augmentation = adaptive(0.0)
    before = augmentation.terms()["augment_probability"]
    for _ in range(4):
        augmentation.observe(torch.ones(4, 1, dtype=torch.bfloat16))
    assert float(before) == 0.0
    assert DiffAugment(ALL, SIGNED).terms() == {}


def test_its_state_can_be_saved_and_restored() -> None:
    whole, part, resumed = (adaptive(0.2) for _ in range(3))
    batches = [torch.randn(8, generator=rng(seed)) + 1 for seed in range(10)]
    for logits in batches:
        whole.observe(logits)
    for logits in batches[:6]:
        part.observe(logits)
    resumed.load_state_dict(part.state_dict())
    for logits in batches[6:]:
        resumed.observe(logits)
    assert whole.state_dict() == resumed.state_dict()
    assert not DiffAugment(ALL, SIGNED).state_dict()


class _Synchronisations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._schema.name not in ("aten::_local_scalar_dense", "aten::nonzero")
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_on_the_host() -> None:
    augmentation = adaptive(0.5)
    with _Synchronisations():
        for _ in range(5):
            augmentation(some_images(), rng()).sum()
            augmentation.observe(torch.ones(4))
            augmentation.terms()


# ----------------------------------------------------------------------------------------------------------------------
# Settings


def test_no_augmentation_by_default() -> None:
    assert made(augment_discriminator="none", augment_policy=["nonsense"]) is None


def test_the_default_policy_exists() -> None:
    assert set(Recipe().augment_policy) <= set(POLICIES)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (["colour"], "augment_policy: unknown name 'colour'. Did you mean 'color'?"),
        (["flip", "zoom"], "unknown name 'zoom'.\naugment_policy is a list of: color, translation, cutout, flip"),
        ([], "augment_policy is empty"),
        (["flip", "flip"], "contains 'flip' twice"),
    ],
)
def test_an_invalid_policy_is_rejected(policy: list[str], message: str) -> None:
    for kind in ("diffaugment", "ada"):
        with pytest.raises(UsageError) as error:
            made(augment_discriminator=kind, augment_policy=policy)
        assert message in str(error.value)


def test_points_are_rejected() -> None:
    for augmentation in (DiffAugment(ALL, SIGNED), adaptive(0.5)):
        with pytest.raises(UsageError, match="at least 4×4 pixels, not 1×2"):
            augmentation(torch.zeros(2, 1, 1, 2), rng())
