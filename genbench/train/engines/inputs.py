"""Where a captured step finds its images: in memory that is filled before each replay, always the same.

A capture takes down addresses. What the host decides anew in each step, which images come next, must therefore be told
to the device before the step is replayed.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genbench.data.resident import ResidentImages
from genbench.data.source import TrainingImages


class Feed(Protocol):
    """Stands in for a source of images while a step is captured."""

    def prepare(self, batches: int) -> None:
        """Pass on by so many batches of the source; the step that runs next will be given these."""

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return the next batch that was prepared: of the operations that do so, none depends on the host."""

    def forget(self) -> None:
        """Take it that the device did not do what the host has prepared, as where a step is captured and not run."""


def make_feed(data: TrainingImages, most_batches: int) -> Feed:
    """Return what feeds a captured step from this source, up to `most_batches` in a step."""
    return QueuedOrder(data, most_batches) if isinstance(data, ResidentImages) else CopiedBatches(data)


class QueuedOrder:
    """The order of resident images in a buffer of the device, which takes from it by a counter of its own.

    A replay needs nothing of the host but at an epoch's end, when the new order is written to the buffer. Where a step
    takes its last batches from an old epoch and further ones from a new, the old ones are put in front.
    """

    def __init__(self, data: ResidentImages, most_batches: int) -> None:
        self.data = data
        device = data.pixels.device
        room = len(data.pixels) + most_batches * data.batch_size
        self._queue = torch.zeros(room, dtype=torch.int64, device=device)
        self._taken = torch.zeros(1, dtype=torch.int64, device=device)
        self._batch = torch.arange(data.batch_size, device=device)
        self._order = torch.empty(0)  # the one that the queue was filled from last
        self._position = -1  # of the data, after what was prepared last

    def prepare(self, batches: int) -> None:
        """Pass on in the order, and fill the queue anew where an order begins or was exchanged."""
        size = self.data.batch_size
        order, position = self.data.place
        known = order is self._order and position == self._position
        passed: list[Tensor] = []
        for number in range(batches):
            chosen = self.data.advance()
            order, self._position = self.data.place
            if not known or order is not self._order:
                rest = order[self._position - size :]
                start = number * size
                if passed:
                    self._queue[:start].copy_(torch.cat(passed))
                self._queue[start : start + len(rest)].copy_(rest)
                self._taken.zero_()
                self._order, known = order, True
            passed.append(chosen)

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Take the next batch from the queue."""
        chosen = self._queue.index_select(0, self._taken + self._batch)
        self._taken.add_(self.data.batch_size)
        return self.data.gather(chosen)

    def forget(self) -> None:
        """Fill the queue anew before the next step."""
        self._position = -1


class CopiedBatches:
    """Batches that come from the host, copied to where the captured step looks for them."""

    def __init__(self, data: TrainingImages) -> None:
        self.data = data
        self._held: list[tuple[Tensor, Tensor | None]] = []
        self._next = 0

    def prepare(self, batches: int) -> None:
        """Fetch the batches and copy them."""
        for number in range(batches):
            images, labels = self.data.next_batch()
            if number == len(self._held):
                self._held.append((torch.empty_like(images), None if labels is None else torch.empty_like(labels)))
            held_images, held_labels = self._held[number]
            held_images.copy_(images)
            if held_labels is not None and labels is not None:
                held_labels.copy_(labels)
        self._next = 0

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return the next of the places, which always come in the same order."""
        batch = self._held[self._next]
        self._next += 1
        return batch

    def forget(self) -> None:
        """Do nothing: nothing is counted on the device."""
