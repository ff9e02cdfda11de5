"""A real Ray cluster on this machine: it listens on the loopback interface, and sends no statistics."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command_line import alive, children, slowness, wait_until

# Read when Ray is imported, and by the processes of its nodes.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # its nodes are at 127.0.0.1
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_initial_delay_ms": "1000",  # a node that was killed is missed within seconds
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": str(round(5000 * (1 + slowness()))),  # of one that is only slow later
    "RAY_health_check_failure_threshold": "2",
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(round(5 * slowness())),
    # A node that starts on a busy machine is waited for.
    "RAY_gcs_server_port_wait_time_s": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_gcs_rpc_server_connect_timeout_s": "600",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_raylet_start_wait_time_s": "600",
}

import pytest
import ray._private.node
from ray.cluster_utils import Cluster

_STORE = 80 * 2**20  # bytes of a node's object store
_SLOWED = 20  # times the 30 seconds that Ray gives a node to start, without a setting for them


def be_patient() -> None:
    """Let nodes that this process starts take longer: the clock of Ray's module for that is slower meanwhile."""
    slower = {**vars(time), "monotonic": lambda: time.monotonic() / _SLOWED}
    ray._private.node.time = types.SimpleNamespace(**slower)  # type: ignore[attr-defined]


be_patient()

_NODE = """
import json, sys
sys.path.insert(0, sys.argv[4])
import ray_cluster  # is patient
from ray._private.node import Node
from ray._private.parameter import RayParams
node = Node(
    RayParams(
        gcs_address=sys.argv[1], resources=json.loads(sys.argv[2]), object_store_memory=int(sys.argv[3]), num_cpus=1,
        num_gpus=0, node_ip_address="127.0.0.1", node_manager_port=0, min_worker_port=0, max_worker_port=0,
        include_log_monitor=False,
    ),
    head=False,
    shutdown_at_exit=True,
    spawn_reaper=True,
)
sys.stdin.read()
"""  # runs a node until its input ends


class RayCluster:
    """A cluster whose head node runs no jobs.

    Args:
        port: of its head; None: any.
        variables: environment variables of its nodes, and of their jobs.
    """

    def __init__(self, port: int | None = None, **variables: str) -> None:
        os.environ.update(variables)
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": _STORE,
                "node_ip_address": "127.0.0.1",
                "include_dashboard": False,
                "gcs_server_port": port,
            },
        )
        self.address: str = self._cluster.address

    def add_node(self, **how: Any) -> Any:
        """Start a node with one processor."""
        how = {"num_cpus": 1, "object_store_memory": _STORE, "node_ip_address": "127.0.0.1", **how}
        return self._cluster.add_node(**how)

    @contextlib.contextmanager
    def node(self, **how: Any) -> Iterator[None]:
        """Have a further node meanwhile."""
        node = self.add_node(**how)
        try:
            yield
        finally:
            self.kill_node(node)

    @contextlib.contextmanager
    def node_without(self, folder: Path, resource: str) -> Iterator[None]:
        """Have a node with this resource that does not see the contents of a folder; skips where that is impossible."""
        mounted = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs tmpfs {folder} && exec "$@"', "sh"]
        if not shutil.which("unshare") or subprocess.run([*mounted, "true"], capture_output=True).returncode:
            pytest.skip("needs unshare, to mount another folder for a node")
        node = subprocess.Popen(
            [
                *mounted,
                sys.executable,
                "-c",
                _NODE,
                self.address,
                json.dumps({resource: 1}),
                str(_STORE),
                str(Path(__file__).parent),
            ],
            stdin=subprocess.PIPE,
        )
        try:
            wait_until(lambda: resource in self._cluster.global_state.cluster_resources())
            yield
        finally:
            node.communicate(timeout=60 * slowness())

    def kill_node(self, node: Any) -> None:
        """Kill a node's processes; its Ray workers notice by themselves."""
        self._cluster.remove_node(node, allow_graceful=False)

    def processes_of(self, node: Any) -> list[int]:
        """Return the processes of a node, with those of its jobs."""
        started = [info.process.pid for infos in node.all_processes.values() for info in infos]
        return [found for pid in started for found in tree(pid)]

    def nodes(self) -> int:
        """Return the number of nodes that the head takes for alive."""
        return sum(node["Alive"] for node in self._cluster.global_state.node_table())

    def kill_head(self) -> None:
        """Kill the head node's processes; the other nodes end, for lack of a head."""
        self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)

    def close(self) -> None:
        """Stop the nodes."""
        self._cluster.shutdown()

    def arguments(self, **options: str) -> tuple[str, ...]:
        """Return the arguments of `genbench run` that make it run its cells here."""
        given = {"address": self.address, **options}
        return ("--executor", "ray", *(word for k, v in given.items() for word in ("--set", f"ray.{k}={v}")))

    def in_use(self) -> dict[str, Any]:
        """Return what Ray's state knows of running work: processors in use, and the names of actors that live."""
        state = self._cluster.global_state
        whole, free = state.cluster_resources(), state.available_resources()
        living = [actor["Name"] for actor in state.actor_table(None).values() if actor["State"] != "DEAD"]
        return {"CPU": whole.get("CPU", 0) - free.get("CPU", 0), "actors": living}

    def wait_until_free(self) -> None:
        """Fail unless soon no task and no actor is left."""
        wait_until(lambda: self.in_use() == {"CPU": 0, "actors": []}, seconds=40)


def jobs_of(run: Path) -> dict[int, int]:
    """Return the processes of a run's jobs on nodes, with their parents, the workers of Ray."""
    found = {}
    for path in (run / "jobs").glob("*/running.json"):
        try:
            pid = int(json.loads(path.read_text())["pid"])
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if alive(pid):
            found[pid] = parent
    return found


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    return [pid, *(found for child in children(pid) for found in tree(child))]


def wait_for_checkpoint(run: Path, process: Any) -> None:
    """Wait until a job of a run has saved the state of its training."""
    wait_until(lambda: bool(list(run.glob("jobs/*/checkpoints/*.resume.safetensors"))), process, seconds=240)
