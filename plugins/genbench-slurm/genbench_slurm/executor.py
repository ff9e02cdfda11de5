"""The executor: arrays are submitted, and one call of squeue tells the states of all jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Sequence

import genbench

from . import Options
from .commands import CommandFailed, CommandTimedOut, missing_command, run_command
from .nodes import (
    SINFO_FORMAT,
    Nodes,
    in_partitions,
    longest_minutes,
    minutes_of,
    problem,
    read_nodes,
    unknown_partition,
)
from .script import log_of, script
from .states import ACCOUNT_FIELDS, QUEUE_FIELDS, Known, job_state, last_line, read_accounts, read_queue

_REFUSED_FOR_NOW = re.compile(  # what sbatch says where a quota is used up
    r"job submit limit|Max\w*Submit\w*|temporarily unable|Resource temporarily unavailable|try again", re.IGNORECASE
)
_DOWN = "Requested node configuration is not available"  # also where the nodes are down for the moment
_HARMLESS = re.compile(r"Invalid job id|already completing or completed", re.IGNORECASE)  # the job has ended


class Slurm:
    """Submits jobs to SLURM. A job is known as 'ID/NAME': ids may start again, names are never used twice.

    Names contain that of the run directory: whatever its journal says, the jobs of other runs are left alone.
    """

    def __init__(self, setup: genbench.ExecutorSetup, options: Options) -> None:
        self._options = options
        self._place = setup.run / "jobs" / "slurm"
        self._prefix = f"genbench-{setup.run_name}-"
        self._nodes = _nodes(options)
        self._largest_array = min(options.jobs, _largest_array())
        self.capacity = options.jobs
        self.poll_seconds = options.poll_seconds
        self.start_seconds = 60 * options.start_minutes or None
        self.shared = not options.exclusive
        self.limits_time = bool(options.margin) and not options.minutes

    def check(self, needs: Sequence[genbench.Resources]) -> list[str]:
        """Return for each of these why no node can ever provide it."""
        return [problem(need, self._nodes, self._options) or self._refusal(need) for need in needs]

    def submit(self, jobs: Sequence[genbench.JobRequest]) -> list[str]:
        """Submit jobs as arrays; fewer than were given where a quota is used up."""
        self._place.mkdir(parents=True, exist_ok=True)
        names: list[str] = []
        for _, group in itertools.groupby(jobs, key=self._asked_for):
            waiting, size = [*group], self._largest_array
            while waiting:
                part = waiting[:size]
                try:
                    names += self._submit_array(part)
                except CommandFailed as error:
                    refused = _REFUSED_FOR_NOW.search(str(error)) is not None
                    if refused and len(part) > 1 and not isinstance(error, CommandTimedOut):
                        size = len(part) // 2
                        continue
                    if refused or names:  # those before it are submitted; the next call meets this error again
                        return names
                    raise
                del waiting[: len(part)]
        return names

    def poll(self, jobs: Sequence[genbench.JobHandle]) -> list[genbench.JobState]:
        """Return the states, also of jobs that have left the queue where there is an accounting database."""
        found = _queue() if jobs else {}
        if gone := [_id(job) for job in jobs if self._find(job, found) is None]:
            found |= _accounts(gone)
        return [self._state(job, self._find(job, found)) for job in jobs]

    def cancel(self, jobs: Sequence[genbench.JobHandle]) -> None:
        """Let SLURM end jobs: SIGTERM, and after its KillWait SIGKILL."""
        queue = _queue() if jobs else {}
        found = [known for job in jobs if (known := self._find(job, queue)) is not None and not known.over]
        if not found:
            return
        try:
            run_command("scancel", *(known.id for known in found))
        except CommandFailed as error:
            if not _HARMLESS.search(str(error)):
                raise

    def _submit_array(self, jobs: Sequence[genbench.JobRequest]) -> list[str]:
        name = f"{self._prefix}{jobs[0].token}"
        text = self._script(name, jobs[0].resources, [job.command for job in jobs])
        array = run_command("sbatch", "--parsable", text=text, without=self._replaced()).strip().partition(";")[0]
        return [f"{array}_{index}/{name}" for index in range(len(jobs))]

    def _asked_for(self, job: genbench.JobRequest) -> genbench.Resources:
        """Return what jobs of one array have in common: a time limit in minutes, in place of an estimate."""
        minutes = minutes_of(job.resources, self._options, longest_minutes(self._nodes))
        seconds = None if minutes is None else 60.0 * minutes
        return dataclasses.replace(job.resources, seconds=seconds, estimate=None, extensions=0)

    def _script(self, name: str, needs: genbench.Resources, commands: Sequence[Sequence[str]]) -> str:
        return script(self._place, name, needs, self._options, commands, longest_minutes(self._nodes))

    def _refusal(self, needs: genbench.Resources) -> str:
        """Return why SLURM would refuse such a job, or an empty string."""
        text = self._script("genbench-check", needs, [["true"]])
        try:
            run_command("sbatch", "--test-only", text=text, without=self._replaced())
        except CommandFailed as error:
            if _DOWN not in str(error) and not _REFUSED_FOR_NOW.search(str(error)):
                return str(error)
        return ""

    def _find(self, job: genbench.JobHandle, known: dict[str, Known]) -> Known | None:
        """Return what SLURM knows about a job of this run."""
        id, _, name = job.job.partition("/")
        found = known.get(id)
        return found if found is not None and found.name == name and name.startswith(self._prefix) else None

    def _replaced(self) -> list[str]:
        """Return the variables of sbatch that options replace."""
        given = {"PARTITION": self._options.partition, "TIMELIMIT": self._options.minutes, "GRES": self._options.gres}
        return [name for name, value in given.items() if value]

    def _state(self, job: genbench.JobHandle, known: Known | None) -> genbench.JobState:
        if known is None:
            said = last_line(log_of(self._place, _id(job)))
            return genbench.JobState(state="lost", reason=": ".join(filter(None, ("SLURM does not know it", said))))
        log = log_of(self._place, known.id)
        if known.state == "COMPLETED":
            with contextlib.suppress(OSError):
                if log.stat().st_size == 0:
                    log.unlink()
        return job_state(known, log)


def _nodes(options: Options) -> list[Nodes]:
    """Return the nodes that jobs may run on; raises `ExecutorUnavailable`."""
    if command := missing_command():
        raise genbench.ExecutorUnavailable(
            f"SLURM's command {command} is not installed here; use a machine from which jobs are submitted."
        )
    try:
        nodes = read_nodes(run_command("sinfo", "-h", "-a", "-e", "-o", SINFO_FORMAT))
    except CommandFailed as error:
        raise genbench.ExecutorUnavailable(
            f"SLURM does not answer ({error}); `scontrol ping` shows whether its controller runs."
        ) from None
    partitions = options.partition or os.environ.get("SBATCH_PARTITION", "")
    known = ", ".join(sorted({found.partition for found in nodes}))
    if unknown := unknown_partition(nodes, partitions):
        raise genbench.ExecutorUnavailable(f"SLURM has no partition '{unknown}'; there are: {known}.")
    found = in_partitions(nodes, partitions)
    if not found:
        raise genbench.ExecutorUnavailable(
            f"SLURM has no default partition; choose one with --set slurm.partition=NAME: {known}."
        )
    return found


def _largest_array() -> int:
    """Return the number of jobs that SLURM takes as one array."""
    try:
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", run_command("scontrol", "show", "config"), re.MULTILINE)
    except CommandFailed:
        found = None
    return max(1, int(found[1]) - 1) if found else 100


def _queue() -> dict[str, Known]:
    """Return the jobs of this user that SLURM's controller knows."""
    fields = ",".join(f"{field}:|" for field in QUEUE_FIELDS)
    return read_queue(run_command("squeue", "--me", "--states=all", "--array", "--noheader", f"--Format={fields}"))


def _accounts(ids: Sequence[str]) -> dict[str, Known]:
    """Return what the accounting database knows about jobs; nothing where there is none."""
    try:
        return read_accounts(
            run_command("sacct", "-X", "-n", "-P", "-o", ",".join(ACCOUNT_FIELDS), "-j", ",".join(ids))
        )
    except CommandFailed:
        return {}


def _id(job: genbench.JobHandle) -> str:
    return job.job.partition("/")[0]
