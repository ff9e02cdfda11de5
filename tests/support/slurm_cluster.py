"""A real SLURM on this machine, with nodes of two CPUs, that listens on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from command_line import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_CONF = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={place}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool.%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout=10
KillWait=10
GresTypes=tape
{nodes}
PartitionName=all Nodes=n1,n2 Default=YES PriorityTier=1 State=UP
PartitionName=urgent Nodes=n1,n2 PriorityTier=10 State=UP
PartitionName=short Nodes=n1,n2 MaxTime=1 State=UP
PartitionName=closed Nodes=n1 State=DOWN
PartitionName=unshared Nodes=n3 State=UP
PartitionName=apart Nodes=n4 State=UP
"""
_OBSERVED = "--partition=all,urgent,short,closed,unshared"  # a test may have a job in `apart` while others run


def missing_program() -> str:
    """Return the first program of SLURM that is not installed here, or an empty string."""
    return next((name for name in PROGRAMS if shutil.which(name, path=_PATH) is None), "")


class SlurmCluster:
    """A controller, and the nodes n1, n2 and n4, the latter in the partition `apart`; n3 starts on request.

    What clients need is in `variables`.
    """

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: sockets lie in it
        self.place.chmod(0o755)
        self.private = self.place / "private"  # of the node n3
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        port, *ports = _free_ports(5)
        nodes = [
            f"NodeName=n{i} NodeHostname=localhost NodeAddr=127.0.0.1 Port={at} CPUs=2 RealMemory=4000"
            + (" Gres=tape:2" if i == 1 else "")
            for i, at in enumerate(ports, start=1)
        ]
        user = os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip()
        conf = _CONF.format(place=self.place, port=port, user=user, nodes="\n".join(nodes))
        (self.place / "slurm.conf").write_text(conf)
        (self.place / "gres.conf").write_text("NodeName=n1 Name=tape Count=2\n")
        (self.place / "state").mkdir()
        key = self.place / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        self.variables = {"SLURM_CONF": str(self.place / "slurm.conf"), "PATH": _PATH}
        try:
            self._start_all(key)
        except BaseException:
            self.close()
            raise

    def start_controller(self) -> None:
        """Start the controller, and wait until it answers."""
        self._start("slurmctld", "slurmctld", "-D")
        wait_until(lambda: self.succeeds("scontrol", "ping"), self._processes["slurmctld"])

    def start_node(self, name: str) -> None:
        """Start the daemon of a node, and wait until jobs can run there."""
        self._start(name, "slurmd", "-D", "-N", name)
        self._wait_for_node(name)

    def start_unshared_node(self) -> bool:
        """Start n3, which sees an empty folder where the others see `private`; return whether this is permitted."""
        self.private.mkdir()
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
            return False
        mount = 'mount -t tmpfs none "$0" && exec slurmd -D -N n3'
        self._start("n3", "unshare", "-m", "sh", "-c", mount, str(self.private))
        self._wait_for_node("n3")
        return True

    def kill(self, name: str) -> None:
        """Kill a daemon; the jobs of a node go on for a while."""
        self._processes[name].kill()
        self._processes.pop(name).wait()

    def reset(self) -> None:
        """Cancel the jobs, and start what does not run."""
        if "slurmctld" not in self._processes:
            self.start_controller()
        if left := [job for job, _, _ in self.queue()]:
            self.succeeds("scancel", *left)
        for node in {"n1", "n2"} - {*self._processes}:
            self.start_node(node)
        wait_until(lambda: not self.queue(), seconds=40)

    def close(self) -> None:
        """Stop the daemons; there are no jobs after `reset`."""
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.place, ignore_errors=True)

    def command(self, *command: str) -> str:
        """Run a command of SLURM and return what it prints."""
        return subprocess.check_output(command, text=True, env=self._environment, timeout=600)

    def succeeds(self, *command: str) -> bool:
        """Run a command of SLURM and return whether it succeeded."""
        return subprocess.run(command, capture_output=True, env=self._environment, timeout=600).returncode == 0

    def queue(self, states: str = "pending,running,completing") -> list[list[str]]:
        """Return id, state and node of each job, except those in the partition `apart`."""
        text = self.command("squeue", "--me", "-h", "-r", _OBSERVED, f"--states={states}", "-o", "%i|%T|%N")
        return [line.split("|") for line in text.splitlines()]

    def running(self) -> list[list[str]]:
        """Return id, state and node of each job that runs."""
        return self.queue("running")

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def _start_all(self, key: Path) -> None:
        munge = [f"--{name}={self.place}/munge.{name.split('-')[0]}" for name in ("pid-file", "log-file", "seed-file")]
        self._start(
            "munged", "munged", "-F", "--force", f"--socket={self.place}/munge.socket", f"--key-file={key}", *munge
        )
        wait_until((self.place / "munge.socket").exists, self._processes["munged"])
        self.start_controller()
        for node in ("n1", "n4"):
            self._start(node, "slurmd", "-D", "-N", node)
        self.start_node("n2")
        for node in ("n1", "n4"):
            self._wait_for_node(node)

    def _start(self, name: str, *command: str) -> None:
        with (self.place / f"{name}.output").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment
            )

    def _wait_for_node(self, name: str) -> None:
        def idle() -> bool:
            return self.command("sinfo", "-h", "-N", "-n", name, "-o", "%t").split()[:1] == ["idle"]

        wait_until(idle, self._processes[name])


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [found.getsockname()[1] for found in sockets]


def wait_for_checkpoint(run: Path, process: object) -> None:
    """Wait until a job of a run has saved the state of its training."""
    wait_until(lambda: bool(list(run.glob("jobs/*/checkpoints/*.resume.safetensors"))), process, seconds=240)  # type: ignore[arg-type]


def events(directory: Path) -> list[str]:
    """Return what happened to the jobs of a run, from its journal."""
    journal = directory / "jobs" / "journal.jsonl"
    return [json.loads(line)["event"] for line in journal.read_text().splitlines()] if journal.exists() else []
