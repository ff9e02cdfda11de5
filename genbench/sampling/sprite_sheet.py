"""Sprite sheets: frames of the same samples at several points of training, below one another in one small WebP file.

A frame is a grid of images without margins. Images are reduced beforehand and the file is compressed with losses until
it fits its budget: it shows how samples change, and is not meant for measuring. WebP, because at the same number of
bytes it is closer to the images than JPEG by several decibels, and a third of the size of a PNG file (docs/adr/0029).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

BUDGET = 160 * 1024  # bytes of a file
LARGEST_SIDE = 64  # pixels of an image in a frame; larger images are reduced
FRAME_PIXELS = 256 * 256  # pixels of a frame, at most
GRIDS = ((8, 8), (8, 4), (4, 4))  # columns and rows, the first that fits; the last one always does

_QUALITIES = (75, 50, 30)  # of WebP, tried in this order before there are fewer images
_EFFORT = 4  # libwebp's default of 0 to 6


@dataclass(frozen=True)
class SpriteSheet:
    """An encoded sheet: a WebP file of `columns · width` × `frames · rows · height` pixels."""

    content: bytes
    columns: int
    rows: int  # of one frame
    width: int  # of one image
    height: int

    @property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.content).hexdigest()


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Return the columns and rows of a frame of images of this size, which are first reduced."""
    height, width = _reduced(height, width)
    return next((grid for grid in GRIDS if grid[0] * width * grid[1] * height <= FRAME_PIXELS), GRIDS[-1])


def reduce_images(pixels: Tensor) -> Tensor:
    """Return uint8 images (N, 1 or 3, height, width) whose longer side is at most `LARGEST_SIDE`, by averaging pixels.

    Of images with other numbers of channels, the first channel or the first three remain, as in a sample grid.
    """
    shown = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1]
    size = _reduced(*shown.shape[2:])
    if size == tuple(shown.shape[2:]):
        return shown.clone()
    return torch.nn.functional.adaptive_avg_pool2d(shown.float(), size).round().to(torch.uint8)


def sprite_sheet(frames: Tensor, columns: int, budget: int = BUDGET) -> SpriteSheet:
    """Return the sheet of uint8 frames (frames, images, 1 or 3, height, width) in at most `budget` bytes.

    Quality is reduced first, then the number of images. Raises `OSError` where Pillow was built without WebP, and
    `ValueError` if even one image per frame needs more than the budget.
    """
    grids = frames.reshape(len(frames), -1, columns, *frames.shape[2:])
    for columns_kept, rows in _smaller_grids(columns, grids.shape[1]):
        picture = _picture(grids[:, :rows, :columns_kept])
        for quality in _QUALITIES:
            content = _encoded(picture, quality)
            if len(content) <= budget:
                return SpriteSheet(content, columns_kept, rows, frames.shape[-1], frames.shape[-2])
    raise ValueError(f"{len(frames)} frames of one image need more than {budget:,} bytes")


def _reduced(height: int, width: int) -> tuple[int, int]:
    longer = max(height, width, LARGEST_SIDE)
    return max(1, round(height * LARGEST_SIDE / longer)), max(1, round(width * LARGEST_SIDE / longer))


def _smaller_grids(columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield this grid and then grids of half the images each, down to one image."""
    yield columns, rows
    while columns * rows > 1:
        columns, rows = (columns, rows // 2) if rows > 1 else (columns // 2, rows)
        yield columns, rows


def _picture(frames: Tensor) -> Image.Image:
    """Return frames (frames, rows, columns, channels, height, width) as one image."""
    count, rows, columns, channels, height, width = frames.shape
    placed = frames.permute(0, 1, 4, 2, 5, 3).reshape(count * rows * height, columns * width, channels)
    return Image.fromarray(placed.expand(-1, -1, 3).contiguous().numpy())


def _encoded(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    try:
        picture.save(buffer, format="WEBP", quality=quality, method=_EFFORT)
    except (KeyError, UnidentifiedImageError) as error:
        raise OSError("Pillow was built without WebP") from error
    return buffer.getvalue()
