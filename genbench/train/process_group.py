"""The processes that train one cell together: what they agree on, share and wait for.

`World` is a process that trains alone, for which all of it is nothing. `Group` is one of several (a rank), joined by
torch.distributed. Who asks a world never asks which of the two it is.
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

# A rank that waits for what only the main one does looks up this often, so that signals are heard; it never gives up:
# an evaluation may be long, and a main rank that has died takes the store, or by the launcher this rank, along.
_LOOK_UP = timedelta(seconds=1)
_GIVE_WAY = 3.0  # seconds, in which the launcher ends this rank for another's fault


class MainRankFailed(Exception):
    """The main rank met an error in what it alone does; the others cannot go on, and it will say how the cell ended."""


class World:
    """A process that trains a cell alone."""

    rank = 0
    size = 1
    machine = 0  # number of this rank's machine
    backend = ""  # by which processes exchange tensors: 'nccl' or 'gloo'

    @property
    def main(self) -> bool:
        """Whether this is the rank that evaluates, writes and speaks for all."""
        return self.rank == 0

    def shared(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on the main rank, where alone it is called; plain data, as JSON holds it.

        The others wait, without a limit. Where it raises on the main rank, `MainRankFailed` is raised on the others.
        """
        return make()

    def first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns, which the main rank calls before the others do: it may fill a cache."""
        return make()

    def gather(self, value: T) -> list[T]:
        """Return every rank's value, in the order of the ranks; plain data, as JSON holds it."""
        return [value]

    def fetch(self, path: Path) -> None:
        """Put the main rank's file, if it has one, at the same path where a rank is on another machine."""

    def mean(self, series: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over ranks of each tensor: float32 on the host, of the same names and shapes everywhere."""
        return dict(series)

    def meet(self) -> None:
        """Wait until every rank is here, with all that it has queued on its device."""

    def give_way(self, error: BaseException) -> bool:
        """Return whether another rank's end is the cause of this error; wait then, for the launcher to hear of that."""
        return False

    def require_same(self, what: str, value: str) -> None:
        """Raise `GenbenchError` on every rank where the value is not the same on all."""
        values = self.gather(value)
        others = [str(rank) for rank, found in enumerate(values) if found != values[0]]
        if others:
            raise GenbenchError(
                f"{what} of rank {', '.join(others)} {'differ' if others[1:] else 'differs'} from that of rank 0 "
                f"({', '.join(values)}).",
                "The processes did not train one model: this is a fault of genbench, or of a plugin that draws random "
                "numbers of its own, keeps other state than parameters and buffers, or trains other parameters than in "
                "the first step. With --nproc 1 there is nothing to differ.",
            )


class Group(World):
    """One of several processes. torch's default process group must have been joined.

    Args:
        store: where ranks leave each other messages.
        device: this rank's.
        machine: number of this rank's machine, of `machines`; the main rank is on the first.
    """

    def __init__(self, store: Store, device: torch.device, machine: int = 0, machines: int = 1) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.backend = dist.get_backend()
        self._store = PrefixStore("genbench", store)
        self._device, self._owner = device, os.getpid()
        self.machine, self._machines = machine, machines
        self._said = self._gathered = 0

    def shared(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on the main rank."""
        self._require_owner()
        key = f"said/{self._said}"
        self._said += 1
        if self.main:
            try:
                told = msgspec.json.encode([make()]).decode()
            except BaseException as error:
                self._store.set(key, msgspec.json.encode(type(error).__name__).decode())
                raise
            self._store.set(key, told)
        else:
            told = self._wait(key).decode()
        value: Any = msgspec.json.decode(told)
        if isinstance(value, str):
            raise MainRankFailed(f"rank 0 met {value}")
        return value[0]  # type: ignore[no-any-return]

    def first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns, the main rank's turn first."""
        made = [make()] if self.main else []
        self.shared(lambda: None)
        return made[0] if made else make()

    def gather(self, value: T) -> list[T]:
        """Return every rank's value."""
        self._require_owner()
        prefix = f"gathered/{self._gathered}"
        self._gathered += 1
        self._store.set(f"{prefix}/{self.rank}", msgspec.json.encode(value).decode())
        return [msgspec.json.decode(self._wait(f"{prefix}/{rank}")) for rank in range(self.size)]

    def fetch(self, path: Path) -> None:
        """Put the main rank's file at the same path on other machines; where it has none, leave none there."""
        if self._machines == 1:
            return
        content = path.read_bytes() if self.main and path.exists() else b""
        size = self.shared(lambda: len(content))
        elsewhere = self.machine > 0
        if not size:
            if elsewhere:
                path.unlink(missing_ok=True)
            return
        values = torch.frombuffer(bytearray(content or bytes(size)), dtype=torch.uint8).to(self._device)
        dist.broadcast(values, src=0)
        if elsewhere:
            atomic_write(path, values.cpu().numpy().tobytes())

    def mean(self, series: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean over ranks of each tensor."""
        if not series:
            return {}
        flat = torch.cat([values.reshape(-1) for values in series.values()]).to(self._device)
        average(flat)
        parts = torch.split(flat.cpu(), [values.numel() for values in series.values()])
        return {name: part.view(series[name].shape) for name, part in zip(series, parts, strict=True)}

    def meet(self) -> None:
        """Wait for every rank and its device."""
        if self._device.type == "cpu":
            dist.barrier()
        else:
            dist.barrier(device_ids=[self._device.index])
            torch.accelerator.synchronize(self._device)

    def give_way(self, error: BaseException) -> bool:
        """Return whether the connection to another rank has broken, after a few seconds if so."""
        lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        if lost:
            time.sleep(_GIVE_WAY)
        return lost

    def _require_owner(self) -> None:
        if os.getpid() != self._owner:
            os._exit(1)  # a copy that a plugin forked and let run on: it would speak on the same connection

    def _wait(self, key: str) -> bytes:
        while True:
            try:
                self._store.wait([key], _LOOK_UP)
            except dist.DistStoreError:  # not there yet; a store that is gone raises a network error
                continue
            return self._store.get(key)


def average(values: Tensor) -> None:
    """Replace the values by their mean over the ranks of the default process group."""
    dist.all_reduce(values)  # a sum: gloo knows no mean
    values /= dist.get_world_size()
