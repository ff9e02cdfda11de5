"""Genbench commands in forks of a process that has imported torch: half a second each instead of five.

For tests of what a command does. How it starts its processes, and what it imports, is tested with `command_line`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import forks
from command_line import Done


def command(
    *arguments: str, cwd: Path | None = None, namespaces_of: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a genbench command to its end; `variables` are added to the environment."""
    process = forks.start(arguments, {**os.environ, **variables}, cwd, namespaces_of=namespaces_of)
    out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.wait(), out, err)


def run(*arguments: str, out: Path, resume: bool = False, **variables: str) -> Done:
    """Run `genbench run --in-process` with a run directory, as `command_line.run` does with worker processes."""
    marks = out.parent / "marks"
    marks.mkdir(exist_ok=True)
    where = "--resume" if resume else "--out"
    done = command("run", "--in-process", *arguments, where, str(out), FAULTS_MARKS=str(marks), **variables)
    return Done(done.returncode, done.stdout, done.stderr, out)
