"""Running SLURM's commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

SECONDS = 25.0  # for one command: a controller that is busy answers late, one that is down never
REQUIRED = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun")  # srun: submitit looks for it
# Variables of sbatch that would replace what jobs of genbench rely on.
_OURS = ("ARRAY_INX", "ERROR", "EXCLUSIVE", "JOB_NAME", "NO_REQUEUE", "OUTPUT", "REQUEUE", "SIGNAL", "WAIT")
_FILTERS = ("SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_")  # would hide jobs and nodes


class CommandFailed(Exception):
    """A command of SLURM failed; the message is its own."""


class CommandTimedOut(CommandFailed):
    """A command of SLURM did not end in time."""


def missing_command() -> str:
    """Return the first command of SLURM that is not installed here, or an empty string."""
    return next((command for command in REQUIRED if shutil.which(command) is None), "")


def run_command(*command: str, text: str | None = None, without: Sequence[str] = ()) -> str:
    """Run a command and return what it writes to stdout; raises `CommandFailed`.

    Args:
        text: its standard input.
        without: variables of sbatch, as 'PARTITION', that are not passed on.
    """
    kept = _for_sbatch(without) if command[0] == "sbatch" else lambda name: not name.startswith(_FILTERS)
    environment = {name: value for name, value in os.environ.items() if kept(name)}
    try:
        done = subprocess.run(
            command,
            input=text or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
        raise CommandTimedOut(_joined(f"{command[0]} did not end within {SECONDS:g} s", said)) from None
    except OSError as error:
        raise CommandFailed(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise CommandFailed(_joined(f"{command[0]} exited with status {done.returncode}", done.stderr))
    return done.stdout


def _for_sbatch(without: Sequence[str]) -> Callable[[str], bool]:
    removed = {f"SBATCH_{name}" for name in (*_OURS, *without)}
    return lambda name: name not in removed


def _joined(what: str, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return ": ".join([what, *(["; ".join(lines[-3:])] if lines else [])])
