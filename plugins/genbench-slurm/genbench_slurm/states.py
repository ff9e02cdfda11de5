"""The states of jobs: what squeue or sacct say about them, in genbench's terms."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genbench import JobState

from .nodes import read_minutes
from .script import warned_seconds

QUEUE_FIELDS = ("JobArrayID", "Name", "State", "Reason", "NodeList", "exit_code", "TimeUsed", "TimeLimit")
ACCOUNT_FIELDS = ("JobID", "JobName", "State", "Reason", "NodeList", "ExitCode", "Elapsed", "Timelimit")
STOPPED = 143  # exit status of a job that was asked to stop, and has saved its state

_WAITING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_ENDED = {"COMPLETED", "FAILED", "OUT_OF_MEMORY"}  # of its own doing
_LOST = {
    "TIMEOUT": "SLURM's time limit of {limit} ended it",
    "DEADLINE": "SLURM ended it at its deadline",
    "PREEMPTED": "it was preempted by another job",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "REVOKED": "another cluster of the federation runs it",
}
_OUTPUT_NOT_OPENED = 53  # slurmstepd could not open the file for the job's output
_EARLY_SECONDS = 65  # SLURM may warn up to a minute earlier; and its times are rounded
_MOST_SHOWN = 300  # characters of a log


@dataclass(frozen=True)
class Known:
    """What SLURM knows about a job."""

    id: str  # '12_3' for a job of an array
    name: str
    state: str
    reason: str = ""
    node: str = ""
    status: int = 0  # as `os.wait` returns it
    used: str = ""  # time, as '0:45'
    limit: str = ""  # '1:00:00', 'UNLIMITED'

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in _ENDED or self.state in _LOST or self.state == "CANCELLED"


def read_queue(text: str) -> dict[str, Known]:
    """Return what squeue says, by the id of the job: fields are separated by '|'."""
    return _by_id(_known(line.split("|"), int) for line in text.splitlines())


def read_accounts(text: str) -> dict[str, Known]:
    """Return what sacct says, by the id of the job."""
    return _by_id(_known(line.split("|"), _status) for line in text.splitlines())


def job_state(known: Known, log: Path) -> JobState:
    """Return the state of a job."""
    if known.state in _WAITING:
        return JobState(state="pending", reason=_unless_none(known.reason))
    if known.state == "CANCELLED":
        return JobState(state="cancelled", reason="SLURM's job was cancelled", node=known.node)
    if known.state in _LOST:
        return _lost(known, _LOST[known.state].format(limit=known.limit), known.state == "TIMEOUT")
    if known.state not in _ENDED:  # also a state that a later SLURM has
        return JobState(state="running", node=known.node)
    return _ended(known, log)


def last_line(log: Path) -> str:
    """Return the last line of a log; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:_MOST_SHOWN] if lines else ""


def _ended(known: Known, log: Path) -> JobState:
    killed_by, status = known.status & 0x7F, known.status >> 8
    if killed_by == _OUTPUT_NOT_OPENED:
        return _state("finished", known, f"SLURM could not open {log}: do the nodes share this directory?")
    if status == STOPPED or killed_by == signal.SIGTERM:
        why = f"it was asked to stop after {known.used} (SLURM's time limit: {known.limit})"
        return _lost(known, why, _was_warned(known))
    if known.state == "OUT_OF_MEMORY":
        return _state("oom", known, "SLURM ended it for lack of memory: use --set slurm.memory=GIB")
    if killed_by:
        return _lost(known, f"killed by {_name(killed_by)}")
    return _state("finished", known, ", ".join(filter(None, (f"exit status {status}", last_line(log)))))


def _was_warned(known: Known) -> bool:
    """Whether a job that was asked to stop had so little time left that its time limit was the cause."""
    used, limit = read_minutes(known.used), read_minutes(known.limit)
    return used is not None and limit is not None and 60 * (limit - used) <= warned_seconds(limit) + _EARLY_SECONDS


def _lost(known: Known, reason: str, timed_out: bool = False) -> JobState:
    return replace(_state("lost", known, reason), timed_out=timed_out)


def _state(state: Literal["finished", "lost", "oom"], known: Known, reason: str) -> JobState:
    return JobState(state=state, reason=f"{known.node}: {reason}" if known.node else reason, node=known.node)


def _by_id(found: Iterable[Known | None]) -> dict[str, Known]:
    return {known.id: known for known in found if known is not None}


def _known(fields: list[str], status: Callable[[str], int]) -> Known | None:
    if len(fields) < len(QUEUE_FIELDS):
        return None
    id, name, state, reason, node, code, used, limit = (field.strip() for field in fields[: len(QUEUE_FIELDS)])
    try:
        number = status(code)
    except ValueError:
        return None
    return Known(id, name, state.split()[0] if state else "", reason, node, number, used, limit)


def _status(code: str) -> int:
    """Return the status for '143:0', an exit status and a signal."""
    status, _, number = code.partition(":")
    return int(status) << 8 | int(number or 0)


def _unless_none(reason: str) -> str:
    return "" if reason == "None" else reason


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
