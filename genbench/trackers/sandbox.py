"""A reporter's process, sealed off for a rehearsal: as in a run, but with no way to the network, in an empty folder.

What is seen of the reporter beside its answers goes to its log, as lines that begin with `SEEN`.
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
    """What a connection ends in."""


def main(descriptor: int) -> None:
    """Be the process whose socket this is."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.addaudithook(_keep_in)
        try:
            process.main(descriptor)
        finally:
            for path in sorted(Path(folder).rglob("*")):
                _say(STRAY + str(path.relative_to(folder)))
            os.chdir("/")


def _keep_in(event: str, given: tuple[Any, ...]) -> None:
    """Let nothing be looked up or connected to but this machine."""
    if event == "socket.getaddrinfo":
        host = given[0]
    elif event in ("socket.connect", "socket.sendto") and given[0].family != socket.AF_UNIX:
        host = given[1][0]
    else:
        return
    if not _is_this_machine(host):
        _say(f"{NETWORK}{host}")
        raise NoNetworkError("the rehearsal has no network")


def _is_this_machine(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in ("localhost", socket.gethostname())


def _say(what: str) -> None:
    sys.__stdout__.write(f"\n{SEEN}{what}\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
