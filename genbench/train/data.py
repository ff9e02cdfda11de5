"""Training images that lie on the device as uint8 and are shuffled, gathered and normalised there."""

from __future__ import annotations

import torch
from torch import Tensor


class ResidentImages:
    """Batches from a set of images in a new random order each epoch; the last, incomplete batch is left out.

    Args:
        pixels: uint8 (N, channels, height, width); moved to `device` once.
        labels: int64 (N,) or None.
        value_range: (low, high) that the values 0 and 255 are mapped to.
        rng: generator on `device` that shuffles.
        memory_format: of the batches; channels_last suits convolutions.
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
    ) -> None:
        self.pixels = pixels.to(device).contiguous()
        self.labels = None if labels is None else labels.to(device)
        self.batch_size = batch_size
        self.rng = rng
        self.memory_format = memory_format
        low, high = value_range
        self.scale, self.shift = (high - low) / 255, low
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self._position = 0

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the value range, and their labels."""
        if self._position + self.batch_size > len(self._order):
            self._order = torch.randperm(len(self.pixels), generator=self.rng, device=self.pixels.device)
            self._position = 0
        chosen = self._order[self._position : self._position + self.batch_size]
        self._position += self.batch_size
        gathered = self.pixels.index_select(0, chosen)
        images = gathered.to(torch.float32, memory_format=self.memory_format).mul_(self.scale).add_(self.shift)
        return images, None if self.labels is None else self.labels.index_select(0, chosen)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return what a checkpoint must hold to go on with the next batch."""
        return {"order": self._order, "rng": self.rng.get_state()}, {"position": self._position}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self._order = tensors["order"].to(self.pixels.device)
        self.rng.set_state(tensors["rng"].cpu())
        self._position = numbers["position"]
