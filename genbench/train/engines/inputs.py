"""The images of a captured step: read from fixed memory that is filled before each replay.

A capture records addresses. What the host decides in each step, such as which images come next, must therefore be
copied to the device before the step is replayed.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genbench.data.resident import ResidentImages
from genbench.data.source import TrainingImages


class CapturedInputs(Protocol):
    """Replaces the source of images while a step is captured and replayed."""

    def prepare(self, batches: int) -> None:
        """Draw batches from the source; the next step will use them."""

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return the next prepared batch; none of the operations depends on the host."""

    def invalidate(self) -> None:
        """Discard the prepared batches: the step was captured but not run, so the device did not consume them."""


def make_inputs(data: TrainingImages, max_batches: int) -> CapturedInputs:
    """Return the inputs of a captured step for this source, with up to `max_batches` per step."""
    return QueuedIndices(data, max_batches) if isinstance(data, ResidentImages) else CopiedBatches(data)


class QueuedIndices:
    """The order of resident images, queued in a buffer on the device and consumed by a counter on the device.

    A replay needs the host only at the end of an epoch, when the new order is written to the buffer. If a step uses the
    last batches of one epoch and the first of the next, the former are written before the new order.
    """

    def __init__(self, data: ResidentImages, max_batches: int) -> None:
        self.data = data
        device = data.pixels.device
        room = len(data.pixels) + max_batches * data.batch_size
        self._queue = torch.zeros(room, dtype=torch.int64, device=device)
        self._taken = torch.zeros(1, dtype=torch.int64, device=device)
        self._batch = torch.arange(data.batch_size, device=device)
        self._order = torch.empty(0)  # from which the queue was last filled
        self._position = -1  # in the order, after the batches prepared last

    def prepare(self, batches: int) -> None:
        """Advance in the order; refill the queue if a new order begins, or if the order was replaced."""
        size = self.data.batch_size
        order, position = self.data.place
        valid = order is self._order and position == self._position
        earlier: list[Tensor] = []
        for number in range(batches):
            chosen = self.data.advance()
            order, self._position = self.data.place
            if not valid or order is not self._order:
                rest = order[self._position - size :]
                start = number * size
                if earlier:
                    self._queue[:start].copy_(torch.cat(earlier))
                self._queue[start : start + len(rest)].copy_(rest)
                self._taken.zero_()
                self._order, valid = order, True
            earlier.append(chosen)

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Take the next batch from the queue."""
        chosen = self._queue.index_select(0, self._taken + self._batch)
        self._taken.add_(self.data.batch_size)
        return self.data.gather(chosen)

    def invalidate(self) -> None:
        """Refill the queue before the next step."""
        self._position = -1


class CopiedBatches:
    """Batches from the host, copied to the memory that the captured step reads."""

    def __init__(self, data: TrainingImages) -> None:
        self.data = data
        self._buffers: list[tuple[Tensor, Tensor | None]] = []
        self._next = 0

    def prepare(self, batches: int) -> None:
        """Fetch the batches and copy them."""
        for number in range(batches):
            images, labels = self.data.next_batch()
            if number == len(self._buffers):
                self._buffers.append((torch.empty_like(images), None if labels is None else torch.empty_like(labels)))
            buffer, label_buffer = self._buffers[number]
            buffer.copy_(images)
            if label_buffer is not None and labels is not None:
                label_buffer.copy_(labels)
        self._next = 0

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return the next buffer; the order is the same in every step."""
        batch = self._buffers[self._next]
        self._next += 1
        return batch

    def invalidate(self) -> None:
        """Do nothing: nothing is counted on the device."""
