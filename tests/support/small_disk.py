"""A small file system, really mounted in a namespace, for runs on a disk that is or becomes full."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from command_line import Done, run


class CannotMount(Exception):
    """This system does not let users mount a disk; the text says why."""


@dataclass(frozen=True)
class Disk:
    """A separate file system, which only processes in the namespaces of the process `holder` see under `path`."""

    path: Path
    seen_from_here: Path
    holder: int
    prefix: tuple[str, ...]  # of a command that enters these namespaces

    def sh(self, script: str) -> None:
        subprocess.run([*self.prefix, "sh", "-c", script], check=True)

    def resize(self, size: int) -> None:
        self.sh(f"mount -o remount,size={size} {self.path}")

    def used(self) -> int:
        return sum(path.lstat().st_blocks * 512 for path in self.seen_from_here.rglob("*"))

    def free(self) -> int:
        statistics = os.statvfs(self.seen_from_here)
        return statistics.f_bavail * statistics.f_frsize

    def run(self, *arguments: str, resume: bool = False, **variables: str) -> Done:
        """Run `genbench run` with its run directory on this disk."""
        there = self.path / "run"
        marks = {"FAULTS_MARKS": str(self.path.parent)}
        done = run(*arguments, out=there, resume=resume, namespaces_of=self.holder, **marks, **variables)
        return Done(done.code, done.out, done.err, self.seen_from_here / "run")


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """Yield a disk of 64 MiB below a folder; raise `CannotMount` where that is not possible."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        raise CannotMount("needs unshare and nsenter to mount a small disk")
    path = folder / "disk"
    path.mkdir()
    holder = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=64m tmpfs {path} && echo ready && exec sleep 600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            raise CannotMount(f"this system does not let users mount a disk: {holder.communicate()[1].strip()}")
        time.sleep(0.05)
        prefix = ("nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials", f"--wdns={folder}")
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
            prefix = ("nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials")
        yield Disk(path, Path(f"/proc/{holder.pid}/root{path}"), holder.pid, prefix)
    finally:
        holder.kill()
        holder.communicate()
