"""A sandboxed tracker process for the conformance kit: as in a run, but without a network, in an empty folder.

What the reporter is seen to do besides replying goes to its log, as lines that begin with `SEEN`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from genbench.trackers import process

SEEN = "genbench-saw "
NETWORK, STRAY = "network ", "stray "


class NoNetworkError(OSError):
    """Raised for every connection to another machine."""


def main(descriptor: int) -> None:
    """Run as a tracker process, connected by the socket with this descriptor."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.addaudithook(_refuse_other_machines)
        try:
            process.main(descriptor)
        finally:
            for path in sorted(Path(folder).rglob("*")):
                _log(STRAY + str(path.relative_to(folder)))
            os.chdir("/")


def _refuse_other_machines(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to look up, or connect to, any machine but this one."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and arguments[0].family.name != "AF_UNIX":
        host = arguments[1][0]
    else:
        return
    if not _is_this_machine(host):
        _log(f"{NETWORK}{host}")
        raise NoNetworkError("the sandbox has no network")


def _is_this_machine(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in ("localhost", socket.gethostname())


def _log(text: str) -> None:
    sys.__stdout__.write(f"\n{SEEN}{text}\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
