"""The samples of the observations during training: at most a few frames of them are kept, and stored as one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from genbench.results.schema import TrainingFrame, TrainingSamples
from genbench.results.store import atomic_write
from genbench.sampling.sample_grids import scatter
from genbench.sampling.sprite_sheet import grid_of, reduce_images, sprite_sheet

MOST_FRAMES = 16

_PIXELS, _POSITIONS = "samples during training", "positions of these samples"  # in a checkpoint


@dataclass
class Observations:
    """Samples from the same latents at several points of training, evenly distributed over the images consumed.

    How long a training will be is not known in advance. When there is one frame too many, the one whose neighbours
    are closest together is dropped; the first and the latest frames always stay.
    """

    image_shape: tuple[int, int, int]
    train_points: Tensor | None = None  # training images of a dataset of 2-D points, which are drawn as scatter plots
    frames: list[TrainingFrame] = field(default_factory=list)
    _pixels: list[Tensor] = field(default_factory=list)  # uint8, (images, channels, height, width) for each frame

    def has(self, step: int) -> bool:
        """Return whether the samples of this step are the latest frame."""
        return bool(self.frames) and self.frames[-1].step == step

    def add(self, step: int, images: int, pixels: Tensor) -> None:
        """Keep the samples of a step, uint8 (N, channels, height, width); of those there, the latest is before it."""
        self.frames.append(TrainingFrame(step=step, images=images))
        self._pixels.append(self._kept(pixels))
        if len(self.frames) > MOST_FRAMES:
            dropped = dispensable([frame.images for frame in self.frames])
            del self.frames[dropped], self._pixels[dropped]

    def write(self, path: Path) -> TrainingSamples | None:
        """Write all frames to one file and return its record; None without frames. Raises `OSError`, `ValueError`."""
        if not self.frames:
            return None
        shown, columns = torch.stack(self._pixels), grid_of(*self.image_shape[1:])[0]
        if self.train_points is not None:
            backdrop = self.train_points
            shown, columns = torch.stack([scatter(points, backdrop, zoom=1)[None] for points in shown]), 1
        sheet = sprite_sheet(shown, columns)
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, sheet.content)
        return TrainingSamples(
            columns=sheet.columns,
            rows=sheet.rows,
            width=sheet.width,
            height=sheet.height,
            frames=list(self.frames),
            bytes=len(sheet.content),
            sha256=sheet.sha256,
        )

    def state(self) -> dict[str, Tensor]:
        """Return tensors for a checkpoint."""
        if not self.frames:
            return {}
        positions = torch.tensor([[frame.step, frame.images] for frame in self.frames])
        return {_PIXELS: torch.stack(self._pixels), _POSITIONS: positions}

    def load_state(self, tensors: Mapping[str, Tensor], last_step: int) -> None:
        """Restore the frames up to the step of a checkpoint; frames that another version has kept are dropped."""
        self.frames, self._pixels = [], []
        pixels, positions = tensors.get(_PIXELS), tensors.get(_POSITIONS)
        if pixels is None or positions is None or not self._fit(pixels, positions, last_step):
            return
        self.frames = [TrainingFrame(step=step, images=images) for step, images in positions.tolist()]
        self._pixels = list(pixels.cpu())

    def _kept(self, pixels: Tensor) -> Tensor:
        if self.train_points is not None:
            return pixels.cpu().clone()
        columns, rows = grid_of(*self.image_shape[1:])
        return reduce_images(pixels[: columns * rows].cpu())

    def _fit(self, pixels: Tensor, positions: Tensor, last_step: int) -> bool:
        count = len(positions)
        kept = self._kept(torch.zeros(pixels.shape[1:2] + self.image_shape, dtype=torch.uint8))
        if not 0 < count <= MOST_FRAMES or tuple(positions.shape) != (count, 2):
            return False
        if positions.dtype != torch.int64 or pixels.dtype != torch.uint8 or pixels.shape != (count, *kept.shape):
            return False
        steps, images = positions.T
        rising = bool((steps.diff() > 0).all() & (images.diff() > 0).all())
        return rising and int(steps[0]) >= 0 and int(images[0]) >= 0 and int(steps[-1]) <= last_step


def dispensable(positions: Sequence[int]) -> int:
    """Return the index of the position, neither the first nor the last, whose neighbours are closest together.

    Of several it is the last one: positions that arrive at equal distances then stay at equal distances or twice these.
    """
    return min(range(len(positions) - 2, 0, -1), key=lambda index: positions[index + 1] - positions[index - 1])
