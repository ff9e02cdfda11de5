"""Training images that do not fit on the device: a torch DataLoader reads them from the mapped file of the cache.

A sample of this loader is a whole batch, asked for by its rows: gathering rows of bytes is one copy, and what a loader
usually does image by image happens on the device. Without worker processes the rows are gathered in this process; those
of later batches are announced to the disk meanwhile, so that the step rarely waits for it.
"""

from __future__ import annotations

import multiprocessing.connection
import signal
import threading
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from genbench.data.readahead import RowReader, Rows
from genbench.data.resident import Normalise, SeededTransform, Transform
from genbench.data.source import WHOLE, Shard
from genbench.errors import DataError

AHEAD = 4  # batches that are announced to the disk, and that each worker process gathers, ahead of the step


class Request(NamedTuple):
    """What is asked of the disk at a time."""

    rows: Rows  # of this batch
    later: Rows  # of a batch that will be asked for: to be announced


class _Place(NamedTuple):
    """Where in the order a batch ends."""

    order: Rows  # (N,), of the epoch
    rng: Tensor  # state of the order's generator after that epoch's draw
    position: int


class LoaderImages:
    """The batches of `ResidentImages`, through a `torch.utils.data.DataLoader`.

    With the same `rng` on the CPU the batches are the same as the resident ones, bit for bit, and so is the state: only
    batches that were handed out count. Worker processes start with the first batch; `close` ends them.

    Args:
        pixels: uint8 (N, channels, height, width) on the CPU; usually a mapped file of the cache.
        labels: int64 (N,) on the CPU, or None.
        value_range: (low, high) that the values 0 and 255 are mapped to.
        device: where batches are wanted.
        rng: gives the order, which is drawn on the CPU; of a generator on another device only the seed is used.
        memory_format: of the batches.
        transform: applied to each batch on the device, in the value range.
        workers: processes that gather; 0: this one.
        shard: the share of each batch that `next_batch` returns; `rng` must be seeded alike in all processes.
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
        workers: int = 0,
        shard: Shard = WHOLE,
    ) -> None:
        self.pixels = pixels.contiguous()
        self.labels = labels
        self.batch_size = batch_size
        self.device = device
        self.normalise = Normalise(value_range, memory_format)
        self.transform = SeededTransform(transform, rng, device, shard) if transform else None
        self._order = _Order(len(pixels), batch_size, rng, shard)
        self._loader = DataLoader(
            _Batches(self.pixels, labels),
            sampler=self._order,
            batch_size=None,  # the sampler makes the batches
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # the loader would otherwise draw from the global random numbers
            multiprocessing_context="fork" if workers else None,  # nothing is sent to them, nothing imported again
        )
        self._batches: Iterator[tuple[Tensor, Tensor | None]] | None = None
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the value range, and their labels, on the device.

        Raises `DataError` where a worker process has ended, and what else hinders the reading. What failed is asked for
        again by the next call, and nothing is passed over.
        """
        try:
            if self._batches is None:
                self._batches = self._start()
            self._require_workers()
            staged, labels = next(self._batches)
        except BaseException:
            self._require_workers(patience=0.5)  # one that dies while it hands a batch over is seen a moment later
            self.close()
            raise
        self._order.handed_out()
        images = self.normalise(staged.to(self.device, non_blocking=True))
        if self.transform is not None:
            images = self.transform(images)
        return images, None if labels is None else labels.to(self.device, non_blocking=True)

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return what a checkpoint must hold to go on with the next batch."""
        done = self._order.done
        tensors = {"order": torch.from_numpy(done.order), "rng": done.rng}
        if self.transform is not None:
            tensors["transform_rng"] = self.transform.rng.get_state()
        return tensors, {"position": done.position}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Go on where `state` was taken."""
        self.close()
        if self.transform is not None:
            self.transform.rng.set_state(tensors["transform_rng"].cpu())
        self._order.done = _Place(tensors["order"].cpu().numpy(), tensors["rng"].cpu(), numbers["position"])

    def close(self) -> None:
        """End the worker processes and forget what was read ahead; `next_batch` would go on without a gap."""
        self._batches = None  # the iterator ends its workers when it goes
        self._processes = []

    def _start(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        handler, others = signal.getsignal(signal.SIGCHLD), multiprocessing.active_children()
        batches = iter(self._loader)
        self._processes = [process for process in multiprocessing.active_children() if process not in others]
        if self._processes and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)  # torch's would raise its error in whatever runs
        return batches

    def _require_workers(self, patience: float = 0.0) -> None:
        """Raise `DataError` where a worker process has ended, or ends within `patience` seconds."""
        if not self._processes:
            return
        ended = multiprocessing.connection.wait([process.sentinel for process in self._processes], patience)
        for process in self._processes:
            if process.sentinel in ended:
                process.join()
                self.close()
                raise _lost(process.exitcode or 0)


class _Order(Sampler[Request]):
    """The rows of each batch, in a new random order each epoch, without end; the last, incomplete batch is left out."""

    def __init__(self, count: int, batch_size: int, rng: torch.Generator, shard: Shard) -> None:
        self._count, self._batch_size, self._shard = count, batch_size, shard
        self._rng = torch.Generator().manual_seed(rng.initial_seed())
        if rng.device.type == "cpu":
            self._rng.set_state(rng.get_state())
        self.done = _Place(np.empty(0, np.int64), self._rng.get_state(), 0)
        self._asked: deque[_Place] = deque()  # of the loader, and not yet handed out

    def __iter__(self) -> Iterator[Request]:
        """Begin with the batch after the last one that was handed out."""
        self._asked.clear()
        self._rng.set_state(self.done.rng)
        coming = deque([self._after(self.done)])
        while True:
            while len(coming) <= AHEAD:
                coming.append(self._after(coming[-1]))
            place = coming.popleft()
            self._asked.append(place)
            yield Request(self._rows(place), self._rows(coming[-1]))

    def handed_out(self) -> None:
        """Take down that the next batch has arrived: the loader keeps their order."""
        self.done = self._asked.popleft()

    def _after(self, last: _Place) -> _Place:
        order, rng, begin = last
        if begin + self._batch_size > len(order):
            order, begin = torch.randperm(self._count, generator=self._rng).numpy(), 0
            rng = self._rng.get_state()
        return _Place(order, rng, begin + self._batch_size)

    def _rows(self, place: _Place) -> Rows:
        return self._shard.of(place.order[place.position - self._batch_size : place.position])


class _Batches(Dataset[tuple[Tensor, "Tensor | None"]]):
    """Whole batches by their rows."""

    def __init__(self, pixels: Tensor, labels: Tensor | None) -> None:
        self._reader = RowReader(pixels.numpy())
        self._labels = None if labels is None else labels.numpy()

    def __getitem__(self, request: Request) -> tuple[Tensor, Tensor | None]:
        # NumPy gathers in this thread alone: in a forked process torch's team of threads is gone.
        pixels = self._reader.array
        staged = np.empty((len(request.rows), *pixels.shape[1:]), pixels.dtype)
        self._reader.gather(request.rows, staged, request.later)
        labels = None if self._labels is None else torch.from_numpy(self._labels.take(request.rows))
        return torch.from_numpy(staged), labels


def _lost(code: int) -> DataError:
    """Return the error of a worker process that ended with this exit code; a signal is a negative one."""
    name = next((known.name for known in signal.Signals if known == -code), f"exit status {code}")
    if name == "SIGBUS":
        return DataError(
            "A process that reads training images was ended by SIGBUS: their file in the cache was cut short, or the "
            "shared memory (/dev/shm) is full.",
            "Run again, and the images are prepared anew; where shared memory is small, with loader_workers = 0.",
        )
    return DataError(
        f"A process that reads training images was ended by {name}.",
        "Run again with --resume; where memory was short, with fewer loader_workers.",
    )
