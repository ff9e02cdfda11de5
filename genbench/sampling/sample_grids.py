"""The sample grids of a cell: images in rows and columns, or scatter plots where each image is a 2-D point."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from genbench.results.store import atomic_write
from genbench.sampling.inference import to_levels

if TYPE_CHECKING:
    from genbench.sampling.sampler import Drawn

Image.preinit()  # imports the formats now, in the fork server, and not in each worker

GRID = 8  # columns and rows of a grid of samples
CLOSEST = 8  # pairs of a sample and its nearest training image

_BACKGROUND = 32  # grey level
_POINTS = 4_000  # drawn of each kind
_ZOOM = 2  # pixels per level of a coordinate
_EDGE = 4  # pixels around the plot
_FAINT = (104, 104, 112)
_BRIGHT = (255, 196, 64)


def save_sample_grids(
    drawn: Drawn, samples_path: Path, reconstructions_path: Path, train_points: Tensor | None = None
) -> None:
    """Write the samples and, for models that reconstruct, originals above their reconstructions.

    `train_points` are the training images (N, c, h, w) of a dataset of 2-D points. Samples are then drawn as bright
    points over these, and reconstructions over the originals.
    """
    samples = torch.as_tensor(drawn.samples.pixels)
    write_samples(samples_path, samples, train_points)
    if drawn.reconstructions is None:
        return
    shown = GRID * GRID // 2 if train_points is None else _POINTS
    originals, again = (to_levels(images[:shown].nan_to_num(0)) for images in drawn.reconstructions)
    if train_points is not None:
        write_scatter(reconstructions_path, again, originals)
        return
    rows = [row for pair in zip(torch.split(originals, GRID), torch.split(again, GRID), strict=True) for row in pair]
    write_grid(reconstructions_path, torch.cat(rows), GRID)


def write_samples(path: Path, pixels: Tensor, train_points: Tensor | None = None) -> None:
    """Write the first images as a grid or, where `train_points` is given, as a scatter plot."""
    if train_points is None:
        write_grid(path, pixels[: GRID * GRID], GRID)
    else:
        write_scatter(path, pixels, train_points)


def write_pairs(path: Path, above: Tensor, below: Tensor) -> None:
    """Write uint8 images (N, channels, height, width) in two rows, each image above its partner."""
    write_grid(path, torch.cat([above, below]), max(1, len(above)))


def write_grid(path: Path, pixels: Tensor, columns: int, margin: int = 2) -> None:
    """Write uint8 images (N, 1 or 3, height, width) as one PNG, row by row on a dark background."""
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    across, down = min(columns, count) * (width + margin) + margin, rows * (height + margin) + margin
    sheet = torch.full((3, down, across), _BACKGROUND, dtype=torch.uint8)
    shown = pixels.cpu()[:, :3] if channels >= 3 else pixels.cpu()[:, :1].expand(-1, 3, -1, -1)
    for index, image in enumerate(shown):
        top = margin + (index // columns) * (height + margin)
        left = margin + (index % columns) * (width + margin)
        sheet[:, top : top + height, left : left + width] = image
    _write(path, sheet)


def write_scatter(path: Path, points: Tensor, backdrop: Tensor) -> None:
    """Write the scatter plot of uint8 points over others as one PNG, see `scatter`."""
    _write(path, scatter(points, backdrop, _ZOOM))


def scatter(points: Tensor, backdrop: Tensor, zoom: int) -> Tensor:
    """Return uint8 points as an image, uint8 (3, height, width), with `zoom` pixels per level of a coordinate.

    They are bright, over a faint `backdrop` of other points, on a dark background. The first two values of each image
    (N, channels, height, width) are x, to the right, and y, upwards; y is 0 where there is only one value. The first
    4,000 of each set are drawn.
    """
    side = 256 * zoom + 2 * _EDGE
    sheet = torch.full((3, side, side), _BACKGROUND, dtype=torch.uint8)
    for images, colour, reach in ((backdrop, _FAINT, 0), (points, _BRIGHT, 1)):
        flat = torch.nn.functional.pad(images[:_POINTS].cpu().flatten(1), (0, 1))
        left = _EDGE + flat[:, 0].long() * zoom
        top = _EDGE + (255 - flat[:, 1].long()) * zoom
        for down in range(-reach, zoom):
            for across in range(-reach, zoom):
                sheet[:, top + down, left + across] = torch.tensor(colour, dtype=torch.uint8).view(3, 1)
    return sheet


def _write(path: Path, sheet: Tensor) -> None:
    """Write uint8 (3, height, width) as a PNG, atomically."""
    buffer = io.BytesIO()
    Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy()).save(buffer, format="PNG")
    atomic_write(path, buffer.getvalue())
