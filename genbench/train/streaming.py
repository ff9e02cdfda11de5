"""Training images that stay in host memory, or on disk, and are gathered a few batches ahead of the step."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.train.data import Normalise, SeededTransform, Transform
from genbench.train.readahead import RowReader

AHEAD = 4  # batches that are gathered, or being gathered, while one is trained on


class _Place(NamedTuple):
    """Where in the order a batch ends."""

    order: Tensor  # int64 (N,), of the epoch
    rng: Tensor  # state of the order's generator after that epoch's draw
    position: int


class StreamedImages:
    """The batches of `ResidentImages`, gathered by a background thread and copied to the device one by one.

    With the same `rng` on the CPU the batches are the same as the resident ones, bit for bit, and so is the state: only
    batches that were handed out count. What the thread raises, `next_batch` raises. The thread starts with the first
    batch; `close` ends it.

    Args:
        pixels: uint8 (N, channels, height, width) on the CPU; usually a mapped file of the cache.
        labels: int64 (N,) on the CPU, or None.
        value_range: (low, high) that the values 0 and 255 are mapped to.
        device: where batches are wanted.
        rng: gives the order, which is drawn on the CPU; of a generator on another device only the seed is used.
        memory_format: of the batches.
        transform: applied to each batch on the device, in the value range.
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
    ) -> None:
        self.pixels = pixels.contiguous()
        self.labels = labels
        self._reader = RowReader(self.pixels.numpy())
        self.batch_size = batch_size
        self.device = device
        self.normalise = Normalise(value_range, memory_format)
        self.transform = SeededTransform(transform, rng, device) if transform else None
        self._rng = torch.Generator().manual_seed(rng.initial_seed())
        if rng.device.type == "cpu":
            self._rng.set_state(rng.get_state())
        nothing = torch.empty(0, dtype=torch.int64)
        self._done = self._drawn = _Place(nothing, self._rng.get_state(), 0)  # handed out; asked of the thread
        self._pending: deque[tuple[_Place, Future[tuple[Tensor, Tensor | None]]]] = deque()
        self._thread: ThreadPoolExecutor | None = None

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the value range, and their labels, on the device."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="gather")
        while len(self._pending) <= AHEAD:
            self._drawn, chosen = self._draw(self._drawn)
            self._pending.append((self._drawn, self._thread.submit(self._gather, chosen)))
        place, gathered = self._pending[0]
        staged, labels = gathered.result()
        self._pending.popleft()  # after the result: what failed fails again, and nothing is passed over
        self._done = place
        images = self.normalise(staged.to(self.device, non_blocking=True))
        if self.transform is not None:
            images = self.transform(images)
        return images, None if labels is None else labels.to(self.device, non_blocking=True)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return what a checkpoint must hold to go on with the next batch."""
        tensors = {"order": self._done.order, "rng": self._done.rng}
        if self.transform is not None:
            tensors["transform_rng"] = self.transform.rng.get_state()
        return tensors, {"position": self._done.position}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self.close()
        if self.transform is not None:
            self.transform.rng.set_state(tensors["transform_rng"].cpu())
        self._rng.set_state(tensors["rng"].cpu())
        self._done = self._drawn = _Place(tensors["order"].cpu(), tensors["rng"].cpu(), numbers["position"])

    def close(self) -> None:
        """End the thread and forget what it has gathered ahead; another `next_batch` would go on without a gap."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = None
        self._pending.clear()
        self._drawn = self._done
        self._rng.set_state(self._done.rng)

    def _draw(self, last: _Place) -> tuple[_Place, Tensor]:
        """Return where the batch after `last` ends, and the indices of its images."""
        order, rng, begin = last
        if begin + self.batch_size > len(order):
            order, begin = torch.randperm(len(self.pixels), generator=self._rng), 0
            rng = self._rng.get_state()
        end = begin + self.batch_size
        return _Place(order, rng, end), order[begin:end]

    def _gather(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        # Each batch has memory of its own: torch's allocator of pinned memory uses it again only when the device has
        # copied it. NumPy gathers in this thread alone, where torch would start a second team of threads.
        pinned = self.device.type == "cuda"
        if pinned and self.device.index is not None:
            torch.cuda.set_device(self.device)  # of this thread: pinning would otherwise wake the first GPU
        staged = torch.empty((len(chosen), *self.pixels.shape[1:]), dtype=self.pixels.dtype, pin_memory=pinned)
        self._reader.gather(chosen.numpy(), staged.numpy())
        if self.labels is None:
            return staged, None
        labels = self.labels.index_select(0, chosen)
        return staged, labels.pin_memory() if pinned else labels
