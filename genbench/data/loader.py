"""Training images that do not fit on the device: a torch DataLoader reads them from the memory-mapped cache file.

One sample of this loader is a whole batch, requested by its row numbers: gathering rows of bytes is one copy, and what
a loader usually does image by image happens on the device. Without worker processes this process gathers the rows; the
operating system prefetches those of later batches meanwhile, so that the step rarely waits for the disk.
"""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from genbench.data.readahead import RowReader, Rows
from genbench.data.source import BatchSettings, Shard, require_position
from genbench.errors import DataError
from genbench.measure.capabilities import can
from genbench.process.exit_status import describe_exit
from genbench.system.means import uses_linux

_SHARED_MEMORY = "/dev/shm"  # where torch's workers put their batches
_SILENT_SECONDS = 300  # without a batch from the workers, after which they are given up
BATCHES_AHEAD = 4  # that are prefetched from the disk, and that each worker process gathers, ahead of the step


class Request(NamedTuple):
    """The rows of one batch, and those to prefetch."""

    rows: Rows  # of this batch
    upcoming: Rows  # of a later batch: to be prefetched


class _Position(NamedTuple):
    """Where in the order a batch ends."""

    order: Rows  # (N,), of the epoch
    rng: Tensor  # state of the order's generator after that epoch's draw
    used: int  # images of the order, this batch included


class LoaderImages:
    """The batches of `ResidentImages`, through a `torch.utils.data.DataLoader`.

    With the same `rng` on the CPU the batches, and the state, are bit for bit those of `ResidentImages`; only batches
    that were returned count. Worker processes start with the first batch; `close` stops them.

    Args:
        settings: pixels and labels are on the CPU, usually in a memory-mapped cache file. The order is drawn on the
            CPU; where `rng` is on another device, only its seed is used.
        workers: processes that gather rows; 0: this process does.
    """

    def __init__(self, settings: BatchSettings, workers: int = 0) -> None:
        if workers and not uses_linux():
            raise DataError(
                "Loader workers need Linux: elsewhere each of them would get a copy of all images.",
                "Use --loader-workers 0.",
            )
        self.pixels = settings.pixels.contiguous()
        self.labels = settings.labels
        self.batch_size = settings.batch_size
        self.device = settings.device
        self.finish = settings.make_finisher()
        self._order = _Order(len(self.pixels), settings.batch_size, settings.rng, settings.shard)
        self._loader = DataLoader(
            _Batches(self.pixels, self.labels),
            sampler=self._order,
            batch_size=None,  # the sampler makes the batches
            num_workers=workers,
            prefetch_factor=BATCHES_AHEAD if workers else None,
            pin_memory=can(self.device).streams,
            generator=torch.Generator(),  # the loader would otherwise draw from the global random numbers
            multiprocessing_context="fork" if workers else None,  # nothing is pickled for them or imported again
            timeout=_SILENT_SECONDS if workers else 0,
        )
        self._workers, self._images_per_batch = workers, settings.batch_size // settings.shard.ranks
        self._batches: Iterator[tuple[Tensor, Tensor | None]] | None = None
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._copies: Any = None  # a stream of torch's module for the device,  # in which batches are copied to a GPU

    def next_batch(self) -> tuple[Tensor, Tensor | None]:
        """Return float32 images (B, channels, height, width) in the value range, and their labels, on the device.

        Raises `DataError` where a worker process has died, and any other error of reading. The next call requests the
        failed batch again, so none is skipped.
        """
        try:
            if self._batches is None:
                self._batches = self._start()
            self._require_workers()
            staged, labels = next(self._batches)
        except BaseException as error:
            self._require_workers(timeout=0.5)  # the exit of a worker that dies in a transfer shows a moment later
            silent = isinstance(error, RuntimeError) and "timed out" in str(error)
            for process in self._processes if silent else ():
                process.kill()
            self.close()
            if silent:
                raise _no_batch_arrived() from error
            raise
        self._order.record_returned()
        staged, labels = self._copy_to_device(staged, labels)
        return self.finish(staged), labels

    def _copy_to_device(self, staged: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Copy a batch in a stream of its own: the GPU copies it while it still executes the previous step."""
        if not can(self.device).streams:
            return staged.to(self.device), None if labels is None else labels.to(self.device)
        module = torch.get_device_module(self.device)
        if self._copies is None:
            self._copies = module.Stream(self.device)
        training = module.current_stream(self.device)
        with module.stream(self._copies):
            staged = staged.to(self.device, non_blocking=True)
            labels = None if labels is None else labels.to(self.device, non_blocking=True)
        training.wait_stream(self._copies)
        for tensor in (staged, labels):
            if tensor is not None:
                tensor.record_stream(training)  # its memory is not reused for a later copy before the step has read it
        return staged, labels

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return what a checkpoint needs to continue with the next batch."""
        done = self._order.done
        tensors = {"order": torch.from_numpy(done.order), "rng": done.rng, **self.finish.state()}
        return tensors, {"position": done.used}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        """Continue where `state` was taken; raise ValueError if it belongs to other images."""
        require_position(tensors["order"], numbers["position"], len(self.pixels))
        self.close()
        self.finish.load_state(tensors)
        self._order.done = _Position(tensors["order"].cpu().numpy(), tensors["rng"].cpu(), numbers["position"])

    def close(self) -> None:
        """Stop the worker processes and discard what was read ahead; `next_batch` would continue without a gap."""
        self._batches = None  # the iterator stops its workers when it is deleted
        self._processes = []

    def _start(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        if self._workers:
            self._require_shared_memory()
        handler, others = signal.getsignal(signal.SIGCHLD), multiprocessing.active_children()
        batches = iter(self._loader)
        self._processes = [process for process in multiprocessing.active_children() if process not in others]
        if self._processes and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)  # torch's handler would raise its error in whatever code runs
        return batches

    def _require_shared_memory(self) -> None:
        """Raise `DataError` if the batches that the workers read ahead do not fit into shared memory.

        torch would lose such a batch in a thread of the worker, and wait for it for ever.
        """
        batch = self._images_per_batch * self.pixels[0].numel() * self.pixels.element_size()
        needed = batch * (self._workers * BATCHES_AHEAD + 1)
        try:
            found = os.statvfs(_SHARED_MEMORY)
        except (OSError, AttributeError):  # this system has no such folder
            return
        free = found.f_bavail * found.f_frsize
        if free < needed:
            raise DataError(
                f"{self._workers} loader workers need {needed / 2**20:,.1f} MiB of shared memory for batches of "
                f"{batch / 2**20:,.2f} MiB, but {_SHARED_MEMORY} has {free / 2**20:,.1f} MiB.",
                "Use fewer loader_workers or a smaller batch, set loader_workers = 0, or give the container more "
                "shared memory (docker run --shm-size).",
                code="GB310",
            )

    def _require_workers(self, timeout: float = 0.0) -> None:
        """Raise `DataError` where a worker process has exited, or exits within `timeout` seconds."""
        if not self._processes:
            return
        exited = multiprocessing.connection.wait([process.sentinel for process in self._processes], timeout)
        for process in self._processes:
            if process.sentinel in exited:
                process.join()
                self.close()
                raise _worker_died(process.exitcode or 0)


class _Order(Sampler[Request]):
    """The rows of each batch, endlessly, in a new random order each epoch; an incomplete last batch is dropped."""

    def __init__(self, count: int, batch_size: int, rng: torch.Generator, shard: Shard) -> None:
        self._count, self._batch_size, self._shard = count, batch_size, shard
        self._rng = torch.Generator().manual_seed(rng.initial_seed())
        if rng.device.type == "cpu":
            self._rng.set_state(rng.get_state())
        self.done = _Position(np.empty(0, np.int64), self._rng.get_state(), 0)
        self._requested: deque[_Position] = deque()  # from the loader, and not yet returned

    def __iter__(self) -> Iterator[Request]:
        """Begin with the batch after the last one that was returned."""
        self._requested.clear()
        self._rng.set_state(self.done.rng)
        coming = deque([self._after(self.done)])
        while True:
            while len(coming) <= BATCHES_AHEAD:
                coming.append(self._after(coming[-1]))
            position = coming.popleft()
            self._requested.append(position)
            yield Request(self._rows(position), self._rows(coming[-1]))

    def record_returned(self) -> None:
        """Record that the next batch was returned: the loader keeps their order."""
        self.done = self._requested.popleft()

    def _after(self, last: _Position) -> _Position:
        order, rng, begin = last
        if begin + self._batch_size > len(order):
            order, begin = torch.randperm(self._count, generator=self._rng).numpy(), 0
            rng = self._rng.get_state()
        return _Position(order, rng, begin + self._batch_size)

    def _rows(self, position: _Position) -> Rows:
        return self._shard.select(position.order[position.used - self._batch_size : position.used])


class _Batches(Dataset[tuple[Tensor, "Tensor | None"]]):
    """Whole batches, indexed by a request."""

    def __init__(self, pixels: Tensor, labels: Tensor | None) -> None:
        self._reader = RowReader(pixels.numpy())
        self._labels = None if labels is None else labels.numpy()

    def __getitem__(self, request: Request) -> tuple[Tensor, Tensor | None]:
        # NumPy gathers in this thread alone: torch's thread pool does not survive a fork.
        pixels = self._reader.array
        staged = np.empty((len(request.rows), *pixels.shape[1:]), pixels.dtype)
        self._reader.gather(request.rows, staged, request.upcoming)
        labels = None if self._labels is None else torch.from_numpy(self._labels.take(request.rows))
        return torch.from_numpy(staged), labels


def _no_batch_arrived() -> DataError:
    return DataError(
        f"The processes that read training images sent nothing for {_SILENT_SECONDS} s: a disk or network file system "
        "does not answer, or the shared memory (/dev/shm) is full.",
        "Run again with --resume when the disk answers. Where shared memory is small, set loader_workers = 0.",
        code="GB310",
    )


def _worker_died(code: int) -> DataError:
    """Return the error for a worker process that exited with this code; a signal is a negative one."""
    if uses_linux() and code == -signal.SIGBUS:
        return DataError(
            "A process that reads training images was killed by SIGBUS: the cache file was truncated, or the shared "
            "memory (/dev/shm) is full.",
            "Run again, which prepares the images again. Where shared memory is small, set loader_workers = 0.",
            code="GB310",
        )
    return DataError(
        f"A process that reads training images {describe_exit(code)}.",
        "Run again with --resume; where memory was short, use fewer loader_workers.",
        code="GB310",
    )
