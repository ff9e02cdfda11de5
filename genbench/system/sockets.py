"""The sockets that processes listen on, from the tables of the Linux kernel or through psutil."""

from __future__ import annotations

import contextlib
import ipaddress
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from genbench.system.means import psutil, uses_linux

_LISTENING = "0A"  # state of a TCP socket in /proc/net/tcp


class Listener(NamedTuple):
    """A TCP socket that accepts connections."""

    address: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.address).is_loopback


def listeners(pids: Iterable[int]) -> set[Listener]:
    """Return the TCP sockets on which these processes accept connections."""
    if not uses_linux():
        return _listeners_by_psutil(pids)
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(link.readlink())
                    if target.startswith("socket:["):
                        inodes.add(target[8:-1])
    return {listener for table in ("tcp", "tcp6") for inode, listener in _table(table) if inode in inodes}


def _listeners_by_psutil(pids: Iterable[int]) -> set[Listener]:
    library, found = psutil(), set()
    for pid in pids:
        with contextlib.suppress(library.Error):
            for connection in library.Process(pid).net_connections("tcp"):
                if connection.status == library.CONN_LISTEN:
                    found.add(Listener(connection.laddr.ip, connection.laddr.port))
    return found


def _table(name: str) -> list[tuple[str, Listener]]:
    """Return the listening sockets in one of the kernel's tables, with their inodes."""
    try:
        lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    found = []
    for fields in (line.split() for line in lines):
        if fields[3] == _LISTENING:
            address, _, port = fields[1].partition(":")
            words = struct.unpack(f">{len(address) // 8}I", bytes.fromhex(address))
            packed = struct.pack(f"<{len(words)}I", *words)
            found.append((fields[9], Listener(str(ipaddress.ip_address(packed)), int(port, 16))))
    return found
