"""What an engine needs of a source of training images, wherever they lie."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class TrainingImages(Protocol):
    """Batches of real images in a new random order each epoch."""

    batch_size: int

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the model's value range, and their labels."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return the tensors and numbers that a checkpoint must hold to go on with the next batch."""

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Go on where `state` was taken."""

    def close(self) -> None:
        """Let go of what is gathered ahead; `next_batch` would go on without a gap."""
