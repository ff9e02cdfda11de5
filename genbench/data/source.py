"""What an engine needs of a source of training images, wherever they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from genbench.data.readahead import Rows

_Indices = TypeVar("_Indices", Tensor, Rows)


@dataclass(frozen=True)
class Shard:
    """Which share of each batch this process trains on: the `rank`-th of `ranks` equal ones."""

    rank: int = 0
    ranks: int = 1

    def of(self, chosen: _Indices) -> _Indices:
        """Return this process's share of the indices of a whole batch."""
        if self.ranks == 1:
            return chosen
        share = len(chosen) // self.ranks
        return chosen[self.rank * share : (self.rank + 1) * share]


WHOLE = Shard()


class TrainingImages(Protocol):
    """Batches of real images in a new random order each epoch."""

    batch_size: int  # images of a batch, in all processes together

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return this process's float32 images (B, channels, height, width) of the next batch, with their labels.

        They lie in the model's value range.
        """

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return the tensors and numbers that a checkpoint must hold to go on with the next batch."""

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Go on where `state` was taken."""

    def close(self) -> None:
        """Let go of what is gathered ahead; `next_batch` would go on without a gap."""
