"""Training images that lie on the device as uint8 and are shuffled, gathered and normalised there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from genbench.data.source import WHOLE, Shard
from genbench.seeds import rank_purpose, seeded_generator

Transform: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]  # (float images, randomness on the device) -> images


class ResidentImages:
    """Batches from a set of images in a new random order each epoch; the last, incomplete batch is left out.

    Args:
        pixels: uint8 (N, channels, height, width); moved to `device` once.
        labels: int64 (N,) or None.
        value_range: (low, high) that the values 0 and 255 are mapped to.
        rng: generator on `device` that shuffles; the transform has one of its own, derived from this one's seed.
        memory_format: of the batches; channels_last suits convolutions.
        transform: applied to each batch, in the value range, before it is returned: augmentation, say.
        copy: take the pixels into memory of their own even where they lie on `device` already: a mapped file is then
            read here, and not while a step is timed.
        shard: the share of each batch that `next_batch` returns; `rng` must be seeded alike in all processes.

    Raises `MemoryError`, which names the cure, where the images do not fit on the device.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor | None,
        batch_size: int,
        value_range: tuple[float, float],
        device: torch.device,
        rng: torch.Generator,
        memory_format: torch.memory_format = torch.contiguous_format,
        transform: Transform | None = None,
        copy: bool = False,
        shard: Shard = WHOLE,
    ) -> None:
        self.pixels = _place(pixels, device, copy)
        self.labels = None if labels is None else labels.to(device)
        self.batch_size = batch_size
        self.rng = rng
        self.shard = shard
        self.normalise = Normalise(value_range, memory_format)
        self.transform = SeededTransform(transform, rng, device, shard) if transform else None
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self._position = 0

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the value range, and their labels."""
        return self.gather(self.shard.of(self.advance()))

    def advance(self) -> Tensor:
        """Pass on to the next batch and return the indices of its images, int64 (B,): a part of the epoch's order."""
        if self._position + self.batch_size > len(self._order):
            self._order = torch.randperm(len(self.pixels), generator=self.rng, device=self.pixels.device)
            self._position = 0
        chosen = self._order[self._position : self._position + self.batch_size]
        self._position += self.batch_size
        return chosen

    @property
    def place(self) -> tuple[Tensor, int]:
        """The order of this epoch's images, int64 (N,), and how many of them were passed; a new epoch has a new one."""
        return self._order, self._position

    def gather(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the chosen images as `next_batch` returns them, and their labels: work of the device alone."""
        images = self.normalise(self.pixels.index_select(0, chosen))
        if self.transform is not None:
            images = self.transform(images)
        return images, None if self.labels is None else self.labels.index_select(0, chosen)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return what a checkpoint must hold to go on with the next batch."""
        tensors = {"order": self._order, "rng": self.rng.get_state()}
        if self.transform is not None:
            tensors["transform_rng"] = self.transform.rng.get_state()
        return tensors, {"position": self._position}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        if self.transform is not None:
            self.transform.rng.set_state(tensors["transform_rng"].cpu())
        self._order = tensors["order"].to(self.pixels.device)
        self.rng.set_state(tensors["rng"].cpu())
        self._position = numbers["position"]

    def close(self) -> None:
        """Do nothing: there is nothing to let go of before the images themselves."""


class Normalise:
    """Maps uint8 images to float32 ones in a value range, in a memory format."""

    def __init__(self, value_range: tuple[float, float], memory_format: torch.memory_format) -> None:
        low, high = value_range
        self.scale, self.shift = (high - low) / 255, low
        self.memory_format = memory_format

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return new float32 images; 0 and 255 become the ends of the range."""
        return pixels.to(torch.float32, memory_format=self.memory_format).mul_(self.scale).add_(self.shift)


class SeededTransform:
    """A transform with a generator of its own, so that how images are changed never alters their order.

    The generator's seed is derived from that of the order: images change alike wherever they lie. Each process has one
    of its own.
    """

    def __init__(self, transform: Transform, order: torch.Generator, device: torch.device, shard: Shard) -> None:
        self.rng = seeded_generator(order.initial_seed(), rank_purpose("transform", shard.rank), device)
        self._transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """Return the changed images."""
        return self._transform(images, self.rng)


def _place(pixels: Tensor, device: torch.device, copy: bool) -> Tensor:
    try:
        if copy or not pixels.is_contiguous() or pixels.device != device:
            return torch.empty(pixels.shape, dtype=pixels.dtype, device=device).copy_(pixels)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            gib = pixels.numel() / 2**30
            raise MemoryError(
                f"{len(pixels)} training images need {gib:.2g} GiB on {device}, which has not that much left; "
                "--input loader reads them from the disk cache while training"
            ) from error
        raise
    return pixels
