"""Connecting to a Ray cluster, with errors that say what to do."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import genbench

NAMESPACE = "genbench"  # in which names of actors are unique
_CONNECT_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def connect(address: str) -> Any:
    """Connect this process to the cluster at this address and return the module `ray`.

    Raises `ExecutorUnavailable` where Ray is not installed, or the cluster is not to be reached.
    """
    place = cluster_address(address)
    if place == "local" or _host_and_port(place)[0] in _LOOPBACK:
        # Read when Ray is imported: Ray then stays on the loopback interface, where it otherwise replaces 127.0.0.1 by
        # the address of this machine. The name of the variable is older than this meaning.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if place != "local":
        _require_answer(place)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise genbench.ExecutorUnavailable(
            f"Ray cannot be imported ({error}): pip install ray, in the version of the cluster."
        ) from None
    try:
        ray.init(
            address=place,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if place == "local" else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        causes = [*filter(None, (_one_line(error), _one_line(error.__cause__)))]
        raise genbench.ExecutorUnavailable(
            f"Ray refused to connect to {place}: {' '.join(causes)} The driver must run on a node of the cluster, with "
            "its versions of Ray and Python; from elsewhere, use `ray job submit`."
        ) from None
    return ray


def cluster_address(address: str) -> str:
    """Return 'local' or HOST:PORT of a cluster; raise `ExecutorUnavailable` where it is neither."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "") or _last_started()
        if not address:
            raise genbench.ExecutorUnavailable(
                "no Ray cluster runs on this machine, and RAY_ADDRESS is not set: start one with `ray start --head`, "
                "or use --set ray.address=local."
            )
    if address != "local":
        _host_and_port(address)
    return address


def _last_started() -> str:
    """Return the address of the cluster that was started last on this machine, where Ray itself looks it up."""
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        hint = ""
        if address.startswith("ray://"):
            hint = "; jobs through Ray's client (ray://) are not supported: use `ray job submit`"
        elif "/" in address:
            hint = ", which is not the address of the dashboard"
        raise genbench.ExecutorUnavailable(
            f"'{address}' is not the address of a Ray cluster: use HOST:PORT, usually with port 6379{hint}."
        )
    return host.strip("[]"), int(port)


def _require_answer(address: str) -> None:
    """Raise `ExecutorUnavailable` if nothing listens there; Ray itself tries for minutes."""
    try:
        socket.create_connection(_host_and_port(address), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise genbench.ExecutorUnavailable(
            f"nothing answers at {address} ({error.strerror or error}): is this the address of a Ray cluster, and does "
            "it run? Start one with `ray start --head`, or use --set ray.address=local."
        ) from None


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error or "").split())[:500]
