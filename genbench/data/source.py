"""Sources of training images: what they have in common, and the interface that an engine uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor

from genbench.data.readahead import Rows
from genbench.seeds import rank_purpose, seeded_generator

Transform: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]  # (float images, generator on the device) -> images
_Indices = TypeVar("_Indices", Tensor, Rows)


@dataclass(frozen=True)
class Shard:
    """The share of each batch that this process trains on: the `rank`-th of `ranks` equal shares."""

    rank: int = 0
    ranks: int = 1

    def select(self, indices: _Indices) -> _Indices:
        """Return this process's share of the indices of a whole batch."""
        if self.ranks == 1:
            return indices
        share = len(indices) // self.ranks
        return indices[self.rank * share : (self.rank + 1) * share]


WHOLE_BATCH = Shard()


@dataclass(frozen=True)
class BatchSettings:
    """The images and settings that every source makes its batches from.

    Attributes:
        pixels: uint8 (N, channels, height, width).
        labels: int64 (N,), or None.
        batch_size: images per batch, over all processes.
        value_range: (low, high) that the values 0 and 255 are mapped to.
        device: where the batches are returned.
        rng: generator of the order. Its seed also seeds the transform's own generator.
        memory_format: of the batches; channels_last suits convolutions.
        transform: applied to each batch on the device, in the value range: augmentation, for example.
        shard: the share of each batch that `next_batch` returns; `rng` must have the same seed in all processes.
    """

    pixels: Tensor
    labels: Tensor | None
    batch_size: int
    value_range: tuple[float, float]
    device: torch.device
    rng: torch.Generator
    memory_format: torch.memory_format = torch.contiguous_format
    transform: Transform | None = None
    shard: Shard = WHOLE_BATCH

    def make_finisher(self) -> Finisher:
        """Return what turns gathered uint8 images into those of a batch."""
        seeded = None
        if self.transform is not None:
            seeded = SeededTransform(self.transform, self.rng, self.device, self.shard)
        return Finisher(Normalise(self.value_range, self.memory_format), seeded)


class Normalise:
    """Maps uint8 images to float32 in a value range and a memory format."""

    def __init__(self, value_range: tuple[float, float], memory_format: torch.memory_format) -> None:
        low, high = value_range
        self.scale, self.shift = (high - low) / 255, low
        self.memory_format = memory_format

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return new float32 images; 0 and 255 become the ends of the range."""
        return pixels.to(torch.float32, memory_format=self.memory_format).mul_(self.scale).add_(self.shift)


class SeededTransform:
    """A transform with its own generator, so that augmentation never alters the order of the images.

    The generator's seed is derived from that of the order, so every source of images applies the same changes. Each
    process has a generator of its own.
    """

    def __init__(self, transform: Transform, order: torch.Generator, device: torch.device, shard: Shard) -> None:
        self.rng = seeded_generator(order.initial_seed(), rank_purpose("transform", shard.rank), device)
        self._transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """Return the transformed images."""
        return self._transform(images, self.rng)


@dataclass(frozen=True)
class Finisher:
    """The last two steps of a batch, on the device: normalise, then transform."""

    normalise: Normalise
    transform: SeededTransform | None

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float32 images of uint8 ones."""
        images = self.normalise(pixels)
        return images if self.transform is None else self.transform(images)

    def state(self) -> dict[str, Tensor]:
        """Return the state of the transform's generator, if there is one, for a checkpoint."""
        return {} if self.transform is None else {"transform_rng": self.transform.rng.get_state()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        if self.transform is not None:
            self.transform.rng.set_state(tensors["transform_rng"].cpu())


def require_position(order: Tensor, position: int, images: int) -> None:
    """Raise ValueError unless `order` is one of that many images, and `position` a place in it.

    Before the first batch, the order is empty.
    """
    if not 0 <= position <= len(order):
        raise ValueError(f"position {position} is not in an order of {len(order)} images")
    if len(order) and not torch.equal(order.cpu().sort().values, torch.arange(images)):
        raise ValueError(f"its order is not one of {images} images")


class TrainingImages(Protocol):
    """Batches of real images in a new random order each epoch."""

    batch_size: int  # images per batch, over all processes
    finish: Finisher

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return this process's float32 images (B, channels, height, width) of the next batch, with their labels.

        They are in the model's value range.
        """

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return the tensors and numbers that a checkpoint needs to continue with the next batch."""

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Continue where `state` was taken."""

    def close(self) -> None:
        """Release what was gathered ahead; `next_batch` would continue without a gap."""
