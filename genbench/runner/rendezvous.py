"""How torchrun's agents find each other and agree on their ranks, without unpickling anything and with no open port
on one machine.

torch's own rendezvous keeps a pickled object in a key-value store that listens on all interfaces: whoever reaches the
port runs code. Here the agents of one machine share files that only the user can open. Those of several machines count
themselves in a store that listens on the endpoint's address alone, and exchange numbers and JSON.
"""

from __future__ import annotations

import errno
import socket
import time
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore
from torch.distributed.elastic.rendezvous import (
    RendezvousConnectionError,
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    RendezvousTimeoutError,
)
from torch.distributed.elastic.rendezvous.api import rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint

NAME = "genbench"  # of this rendezvous, for torch
LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 29400  # as torchrun's
_POLL = timedelta(seconds=1)  # signals are handled this often while a machine waits for the others


def ranks_file(folder: str) -> str:
    """Return the file through which the ranks of one machine exchange messages."""
    return str(Path(folder) / "ranks.store")


class _FixedGroup(RendezvousHandler):
    """A rendezvous of a known number of machines: none joins or leaves later."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def get_backend(self) -> str:
        """Return the name of this rendezvous."""
        return NAME

    def is_closed(self) -> bool:
        """Return whether no machine may join any more."""
        return False

    def set_closed(self) -> None:
        """Let no machine join any more."""

    def num_nodes_waiting(self) -> int:
        """Return 0: a group never grows."""
        return 0

    def get_run_id(self) -> str:
        """Return the id of this rendezvous."""
        return self._run_id

    def shutdown(self) -> bool:
        """Close the rendezvous."""
        return True


class OneMachine(_FixedGroup):
    """The only agent: its store is a file in a folder that only this user can open."""

    use_agent_store = False  # the ranks have a file of their own: see `ranks_file`

    def __init__(self, folder: str, run_id: str) -> None:
        super().__init__(run_id)
        self._folder = folder

    def next_rendezvous(self) -> RendezvousInfo:
        """Return rank 0 of 1."""
        store = FileStore(str(Path(self._folder) / "agent.store"))
        return RendezvousInfo(store, 0, 1, RendezvousStoreInfo(LOOPBACK, 0))  # nothing listens there


class SeveralMachines(_FixedGroup):
    """The agent of one of several machines; the one whose address the endpoint names hosts the store and is rank 0."""

    use_agent_store = True  # the ranks use it too

    def __init__(self, endpoint: str, run_id: str, machines: int, seconds: float) -> None:
        super().__init__(run_id)
        self._host, self._port = parse_rendezvous_endpoint(endpoint, DEFAULT_PORT)
        self._machines, self._seconds = machines, seconds
        self._store: Store | None = None

    def next_rendezvous(self) -> RendezvousInfo:
        """Return the store and this machine's rank once all machines are there."""
        deadline = time.monotonic() + self._seconds
        try:
            hosted = _host_store(self._host, self._port)
            shared = hosted or TCPStore(
                self._host, self._port, is_master=False, timeout=timedelta(seconds=self._seconds)
            )
            self._store = store = PrefixStore(self._run_id, shared)
            rank = 0 if hosted else store.add("arrived", 1)
            if rank >= self._machines:
                raise RendezvousConnectionError(f"{self._machines} machines have met here already")
            if rank == self._machines - 1:
                store.set("complete", "")
            while not store.check(["complete"]):
                if time.monotonic() > deadline:
                    arrived = store.add("arrived", 0) + 1
                    raise RendezvousTimeoutError(f"{arrived} of {self._machines} machines arrived in time")
                try:
                    store.wait(["complete"], _POLL)
                except dist.DistStoreError:
                    continue
        except (dist.DistError, ValueError) as error:
            raise RendezvousConnectionError(str(error)) from error
        return RendezvousInfo(store, rank, self._machines, RendezvousStoreInfo(self._host, self._port))

    def shutdown(self) -> bool:
        """Close the store."""
        self._store = None
        return True


def _host_store(host: str, port: int) -> TCPStore | None:
    """Return a store that listens on this address alone, or None where it is not this machine's or already hosted."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
            return None
        raise RendezvousConnectionError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())


def _create(parameters: RendezvousParameters) -> RendezvousHandler:
    if parameters.max_nodes == 1:
        return OneMachine(parameters.get("folder"), parameters.run_id)
    return SeveralMachines(parameters.endpoint, parameters.run_id, parameters.max_nodes, parameters.get("seconds"))


rendezvous_handler_registry.register(NAME, _create)
