"""Sprite sheets: within their budget for whatever images, every image in its place."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genbench.sampling import sprite_sheet as module
from genbench.sampling.sprite_sheet import BUDGET, FRAME_PIXELS, SpriteSheet, grid_of, reduce_images, sprite_sheet


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def decoded(sheet: SpriteSheet) -> np.ndarray:
    with Image.open(io.BytesIO(sheet.content), formats=["WEBP"]) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (3, 128, 128)])
def test_noise_of_sixteen_frames_stays_within_the_budget(shape: tuple[int, int, int]) -> None:
    columns, rows = grid_of(*shape[1:])
    frames = torch.stack([reduce_images(noise(columns * rows, *shape)) for _ in range(16)])
    assert frames.numel() <= 16 * 3 * FRAME_PIXELS  # what is kept in memory, and in a checkpoint
    sheet = sprite_sheet(frames, columns)
    assert len(sheet.content) <= BUDGET
    assert sheet.columns * sheet.rows >= 4
    side = min(shape[1], 64)
    assert (sheet.width, sheet.height) == (side, side)
    assert decoded(sheet).shape == (16 * sheet.rows * side, sheet.columns * side, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_in_its_place(channels: int) -> None:
    levels = torch.arange(3 * 8 * channels).view(3, 8, channels, 1, 1) * (255 // (3 * 8 * channels))
    sheet = sprite_sheet(levels.expand(-1, -1, -1, 32, 32).to(torch.uint8), columns=4)
    assert (sheet.columns, sheet.rows) == (4, 2)
    found = decoded(sheet).reshape(3, 2, 32, 4, 32, 3)
    for frame in range(3):
        for image in range(8):
            place = found[frame, image // 4, 8:24, image % 4, 8:24].mean(axis=(0, 1))
            assert place == pytest.approx(levels[frame, image].flatten().expand(3).numpy(), abs=4)


def test_a_smaller_budget_costs_quality_first_and_then_images() -> None:
    frames = noise(4, 16, 1, 28, 28)
    sizes = {budget: sprite_sheet(frames, 4, budget) for budget in (100_000, 26_000, 20_000, 6_000, 2_500)}
    assert all(len(sheet.content) <= budget for budget, sheet in sizes.items())
    assert [(sheet.columns, sheet.rows) for sheet in sizes.values()] == [(4, 4), (4, 4), (4, 2), (4, 1), (1, 1)]
    with pytest.raises(ValueError, match="4 frames of one image need more than 100 bytes"):
        sprite_sheet(frames, 4, 100)


@pytest.mark.parametrize(
    ("size", "grid"),
    [((28, 28), (8, 8)), ((32, 32), (8, 8)), ((48, 48), (4, 4)), ((64, 64), (4, 4)), ((256, 128), (8, 4))],
)
def test_a_frame_holds_as_many_images_as_fit(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_of(*size) == grid


def test_images_are_reduced_by_averaging_and_other_channels_are_left_out() -> None:
    pixels = torch.zeros(2, 4, 128, 256, dtype=torch.uint8)
    pixels[:, 1, ::2] = 200
    found = reduce_images(pixels)
    assert found.shape == (2, 3, 32, 64)
    assert found[:, 1].unique().tolist() == [100]
    assert reduce_images(pixels[:, :2, :1, :1]).shape == (2, 1, 1, 1)
    assert reduce_images(pixels[:, :, :1]).shape == (2, 3, 1, 64)


def test_a_pillow_without_webp_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(module.Image.SAVE, "WEBP", raising=False)
    monkeypatch.setattr(module.Image, "init", lambda: False)
    with pytest.raises(OSError, match="Pillow was built without WebP"):
        sprite_sheet(noise(1, 4, 1, 8, 8), 2)
