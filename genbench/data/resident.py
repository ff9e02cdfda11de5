"""Training images that stay on the device as uint8 and are shuffled, gathered and normalised there."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.data.source import BatchSettings, require_position


class ResidentImages:
    """Batches in a new random order each epoch; an incomplete last batch is dropped.

    Args:
        settings: the pixels and labels are moved to `device` once; `rng` is a generator on `device`.
        copy: copy the pixels even where they are on `device` already. A memory-mapped file is then read here, and not
            while a step is timed.

    Raises `MemoryError`, with the remedy, where the images do not fit on the device.
    """

    def __init__(self, settings: BatchSettings, copy: bool = False) -> None:
        device = settings.device
        self.pixels = _move_to(device, settings.pixels, copy)
        self.labels = None if settings.labels is None else settings.labels.to(device)
        self.batch_size = settings.batch_size
        self.rng = settings.rng
        self.shard = settings.shard
        self.finish = settings.make_finisher()
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self._position = 0

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the value range, and their labels."""
        return self.gather(self.shard.select(self.advance()))

    def advance(self) -> Tensor:
        """Move to the next batch and return the indices of its images, int64 (B,): a slice of the epoch's order."""
        if self._position + self.batch_size > len(self._order):
            self._order = torch.randperm(len(self.pixels), generator=self.rng, device=self.pixels.device)
            self._position = 0
        chosen = self._order[self._position : self._position + self.batch_size]
        self._position += self.batch_size
        return chosen

    @property
    def place(self) -> tuple[Tensor, int]:
        """This epoch's order, int64 (N,), and how many of its images were used; each epoch has a new tensor."""
        return self._order, self._position

    def gather(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the chosen images and labels as `next_batch` does; only the device works."""
        images = self.finish(self.pixels.index_select(0, chosen))
        return images, None if self.labels is None else self.labels.index_select(0, chosen)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return what a checkpoint needs to continue with the next batch."""
        tensors = {"order": self._order, "rng": self.rng.get_state(), **self.finish.state()}
        return tensors, {"position": self._position}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Continue where `state` was taken; raise ValueError if it belongs to other images."""
        require_position(tensors["order"], numbers["position"], len(self.pixels))
        self.finish.load_state(tensors)
        self._order = tensors["order"].to(self.pixels.device)
        self.rng.set_state(tensors["rng"].cpu())
        self._position = numbers["position"]

    def close(self) -> None:
        """Do nothing: nothing is gathered ahead."""


def _move_to(device: torch.device, pixels: Tensor, copy: bool) -> Tensor:
    try:
        if copy or not pixels.is_contiguous() or pixels.device != device:
            return torch.empty(pixels.shape, dtype=pixels.dtype, device=device).copy_(pixels)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            gib = pixels.numel() / 2**30
            raise MemoryError(
                f"{len(pixels)} training images need {gib:.2g} GiB on {device}, which has less memory left; "
                "--input loader reads them from the disk cache while training"
            ) from error
        raise
    return pixels
