"""Communication between the processes (ranks) that train one cell together, with torch.distributed.

`World` is a process that trains alone: its collective operations are trivial. `Group` is one of several ranks. Both
have the same interface, so callers need not distinguish them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store

from genbench.errors import GenbenchError
from genbench.results.store import atomic_write

T = TypeVar("T")

# Ranks poll the store at this interval while they wait for the main rank, so that they still handle signals. There is
# no time limit, because an evaluation may be long. If the main rank dies, its store dies too, or the launcher ends us.
_POLL_INTERVAL = timedelta(seconds=1)
_FILE_STORE_TIMEOUT = "Wait timeout"  # a store in a file, as on one machine, raises this instead of `DistStoreError`
_LAUNCHER_SECONDS = 3.0  # time for the launcher to end this rank after another one has failed


class MainRankError(Exception):
    """The main rank failed in something that only it does. The other ranks stop; the main rank reports the error."""


class World:
    """A process that trains a cell alone."""

    rank = 0
    size = 1
    machine = 0  # index of this rank's machine
    backend = ""  # of tensor communication: 'nccl' or 'gloo'

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which evaluates, writes files and reports."""
        return self.rank == 0

    def broadcast(self, make: Callable[[], T]) -> T:
        """Call `make` on the main rank only and return its result on every rank; the result is JSON data.

        The other ranks wait without a time limit. If `make` raises, they raise `MainRankError`.
        """
        return make()

    def main_rank_first(self, make: Callable[[], T]) -> T:
        """Call `make` on every rank, on the others after the main rank, which may fill a cache for them."""
        return make()

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in the order of the ranks; values are JSON data."""
        return [value]

    def broadcast_file(self, path: Path) -> None:
        """Copy the main rank's file, if it exists, to the same path on the other machines."""

    def all_reduce_mean(self, series: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean of each tensor over all ranks, float32 on the host; names and shapes agree on all ranks."""
        return dict(series)

    def barrier(self) -> None:
        """Wait until every rank is here and every device has finished its queued work."""

    def lost_connection(self, error: BaseException) -> bool:
        """Return whether this error means that another rank has failed; if so, first give the launcher time to act."""
        return False

    def require_equal(self, what: str, value: str) -> None:
        """Raise `GenbenchError` on every rank if the value is not equal on all ranks."""
        values = self.all_gather(value)
        others = [str(rank) for rank, found in enumerate(values) if found != values[0]]
        if others:
            raise GenbenchError(
                f"{what} of rank {', '.join(others)} {'differ' if others[1:] else 'differs'} from that of rank 0 "
                f"({', '.join(values)}).",
                "The processes did not train the same model. The cause is a bug in genbench, or a plugin that uses its "
                "own random numbers, keeps state outside parameters and buffers, or trains other parameters than in "
                "the first step. Use --nproc 1 to avoid it.",
                code="GB406",
            )


class Group(World):
    """One of several ranks. torch's default process group must have been initialised.

    Args:
        store: key-value store for messages between ranks.
        device: the device of this rank.
        machine: index of this rank's machine; the main rank is on machine 0.
        machines: number of machines.
    """

    def __init__(self, store: Store, device: torch.device, machine: int = 0, machines: int = 1) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.backend = dist.get_backend()
        self._store = PrefixStore("genbench", store)
        self._device, self._owner = device, os.getpid()
        self.machine, self._machines = machine, machines
        self._broadcasts = self._gathers = 0

    def broadcast(self, make: Callable[[], T]) -> T:
        """Call `make` on the main rank only and return its result on every rank."""
        self._require_owner()
        key = f"broadcast/{self._broadcasts}"
        self._broadcasts += 1
        if self.main:
            try:
                message = msgspec.json.encode([make()]).decode()
            except BaseException as error:
                self._store.set(key, msgspec.json.encode(type(error).__name__).decode())
                raise
            self._store.set(key, message)
        else:
            message = self._wait(key).decode()
        decoded: Any = msgspec.json.decode(message)
        if isinstance(decoded, str):  # the name of an exception; results are in a list
            raise MainRankError(f"rank 0 raised {decoded}")
        return decoded[0]  # type: ignore[no-any-return]

    def main_rank_first(self, make: Callable[[], T]) -> T:
        """Call `make` on every rank, on the others after the main rank."""
        made = [make()] if self.main else []
        self.broadcast(lambda: None)
        return made[0] if made else make()

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all ranks."""
        self._require_owner()
        prefix = f"gather/{self._gathers}"
        self._gathers += 1
        self._store.set(f"{prefix}/{self.rank}", msgspec.json.encode(value).decode())
        return [msgspec.json.decode(self._wait(f"{prefix}/{rank}")) for rank in range(self.size)]

    def broadcast_file(self, path: Path) -> None:
        """Copy the main rank's file to the same path on the other machines, or delete it there if it does not exist."""
        if self._machines == 1:
            return
        content = path.read_bytes() if self.main and path.exists() else b""
        size = self.broadcast(lambda: len(content))
        remote = self.machine > 0
        if not size:
            if remote:
                path.unlink(missing_ok=True)
            return
        values = torch.frombuffer(bytearray(content or bytes(size)), dtype=torch.uint8).to(self._device)
        dist.broadcast(values, src=0)
        if remote:
            atomic_write(path, values.cpu().numpy().tobytes())

    def all_reduce_mean(self, series: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean of each tensor over all ranks."""
        if not series:
            return {}
        flat = torch.cat([values.reshape(-1) for values in series.values()]).to(self._device)
        average(flat)
        parts = torch.split(flat.cpu(), [values.numel() for values in series.values()])
        return {name: part.view(series[name].shape) for name, part in zip(series, parts, strict=True)}

    def barrier(self) -> None:
        """Wait for every rank and its device."""
        if self._device.type == "cpu":
            dist.barrier()
        else:
            dist.barrier(device_ids=[self._device.index])
            torch.accelerator.synchronize(self._device)

    def lost_connection(self, error: BaseException) -> bool:
        """Return whether the connection to another rank was lost, after a few seconds if so."""
        lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        if lost:
            time.sleep(_LAUNCHER_SECONDS)
        return lost

    def _require_owner(self) -> None:
        if os.getpid() != self._owner:
            os._exit(1)  # a plugin forked this process, and the copy would use the same connection

    def _wait(self, key: str) -> bytes:
        while True:
            try:
                self._store.wait([key], _POLL_INTERVAL)
            except dist.DistStoreError:  # not set yet; a lost store raises a network error
                continue
            except RuntimeError as error:
                if str(error) != _FILE_STORE_TIMEOUT:
                    raise
                continue
            return self._store.get(key)


def average(values: Tensor) -> None:
    """Replace the values, in place, by their mean over the ranks of the default process group."""
    dist.all_reduce(values)  # a sum: gloo has no mean
    values /= dist.get_world_size()
