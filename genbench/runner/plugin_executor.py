"""An executor of a plugin, as the supervisor uses it: folders, journal and deliveries are the same for every engine."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from genbench.api.jobs import JobHandle, JobRequest, JobState, Resources
from genbench.api.recipe import resolve_recipe
from genbench.errors import UsageError
from genbench.measure.machine import default_threads
from genbench.results.files import encode_line
from genbench.results.store import RunDirectory
from genbench.runner.executor_process import Call, ExecutorFailed, ExecutorProcess, Reply
from genbench.runner.jobs.job_folder import FOLDER, JobFolder, NodeJob, NodeResult, PluginFile, problem_of_outcome
from genbench.runner.jobs.journal import Entry, Journal
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.node_code import fingerprint
from genbench.runner.run_executor import Outcome, Receive, Submission, marked

DELIVERY_SECONDS = 30.0  # from the end of a job until its files are visible here: network file systems are late
REFUSED_SECONDS = 60.0  # that the engine takes no job until it is said
STOP_SECONDS = 120.0  # from the request to stop until jobs are no longer waited for
SHARED_NOTE = "other jobs may have run on its node while it trained: its speed is not that of a cell alone"
FAILURES = 5  # calls in a row that may fail: a scheduler may be restarted meanwhile
_MARGIN_SECONDS = 600.0  # of a job in addition to the time limit of its cell: starting, saving, ending
_OWN_VARIABLES = ("GENBENCH_CHILD", "GENBENCH_EXECUTOR_TIMEOUT", "GENBENCH_REPORTER_TIMEOUT")  # not for nodes


@dataclass
class _Submitted:
    """A job that the engine has, or had."""

    attempt: Attempt
    handle: JobHandle
    folder: JobFolder
    read: int = 0  # bytes of its messages
    ended_at: float | None = None  # when the engine said so, where its result has not arrived
    running_since: float | None = None  # the engine has said so without a break
    delivered_at: float | None = None  # when its result was first seen, though the engine says that it runs
    seconds: float | None = None  # after which it has certainly ended by itself
    submitted_at: float = 0.0
    stopped: bool = False  # asked to end with an earlier command
    outcome: Outcome | None = None


class PluginExecutor:
    """Submits jobs through an executor of a plugin, and collects what they deliver. Times are of this machine alone."""

    def __init__(
        self,
        process: ExecutorProcess,
        run: RunDirectory,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        self._process, self._run, self._warn, self._clock = process, run, warn, clock
        self._delivery_seconds = delivery_seconds
        self._place = run.path.resolve() / FOLDER
        self._journal = Journal(self._place)
        self._jobs: dict[str, _Submitted] = {}  # by token
        self._cancelled: set[str] = set()  # tokens of those that were asked to end
        self._failures = 0
        self._refused = False  # the engine did not take the last jobs that it was offered
        self._refused_since: float | None = None  # infinity once that was said
        self._stop_deadline: float | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self.capacity, self.limits_time = process.limits.capacity, process.limits.limits_time
        self.threads = default_threads()
        self._stop_requested = False
        self.on_message: Receive = lambda token, message: None
        self.on_stopping: Callable[[], None] = lambda: None

    def adopted(self) -> Sequence[Attempt]:
        """Take over the jobs of an earlier process; those that only another executor knows are given up."""
        for found in self._journal.open_jobs():
            folder = JobFolder(self._place / found.attempt.token)
            handle = JobHandle(token=found.attempt.token, job=found.job or "", folder=folder.path)
            attempt = found.attempt._replace(counts=not found.stopped)
            job = _Submitted(attempt, handle, folder, submitted_at=self._clock(), stopped=found.stopped)
            self._jobs[found.attempt.token] = job
            if found.job is None or found.executor != self._process.name or not folder.path.is_dir():
                self.forget(found.attempt.token)
        return [job.attempt for job in self._jobs.values()]

    def next_attempts(self) -> Mapping[str, int]:
        """Return the numbers in the journal."""
        return self._journal.next_attempts()

    def note_next(self, attempt: Attempt, number: int) -> None:
        """Write the number to the journal."""
        self._journal.write([Entry(event="lost", token=attempt.token, task=attempt.task, attempt=number)])

    def submit(self, submissions: Sequence[Submission]) -> int:
        """Submit jobs; return how many the engine has taken. After a refusal, it is asked to take one first."""
        submissions = submissions[:1] if self._refused else submissions
        requests, offered = [self._request(submission) for submission in submissions], []
        for submission, request in zip(submissions, requests, strict=True):
            attempt, folder = submission.attempt, JobFolder(request.folder)
            folder.create(request.payload, self._run, attempt.task)
            name = self._process.name
            offered.append(
                Entry(event="offered", token=attempt.token, task=attempt.task, attempt=attempt.number, executor=name)
            )
        self._journal.write(offered)
        try:
            reply = self._call(Call(method="submit", jobs=requests))
        except KeyboardInterrupt:  # a second Ctrl-C: a job that the engine has taken finds no folder, and ends
            for request in requests:
                JobFolder(request.folder).remove()
            raise
        names = reply.names if reply is not None else []
        taken = [*zip(submissions, requests, names, strict=False)]
        self._journal.write(Entry(event="submitted", token=s.attempt.token, job=name) for s, _, name in taken)
        for submission, request, name in taken:
            handle = JobHandle(token=request.token, job=name, folder=request.folder)
            folder = JobFolder(request.folder)
            self._jobs[request.token] = _Submitted(
                submission.attempt, handle, folder, submitted_at=self._clock(), seconds=request.resources.seconds
            )
        for request in requests[len(names) :]:  # where the call failed, perhaps submitted: such a job finds no folder
            JobFolder(request.folder).remove()
        self._journal.write(
            Entry(event="ended", token=request.token, reason="not submitted") for request in requests[len(names) :]
        )
        self._refused = len(names) < len(requests)
        self._say_refused(reply is not None)
        return len(names)

    def _say_refused(self, answered: bool) -> None:
        """Say, once, that the engine has taken no job for a while; a call that failed was said already."""
        if not self._refused or not answered:
            self._refused_since = None
            return
        self._refused_since = self._clock() if self._refused_since is None else self._refused_since
        if self._clock() - self._refused_since >= REFUSED_SECONDS:
            self._refused_since = math.inf
            self._warn(f"the executor '{self._process.name}' takes no further jobs for now; they are offered again")

    def wait(self) -> None:
        """Sleep until it is time to ask the engine again, or a stop is requested."""
        ready, _, _ = select.select([self._wake_read], [], [], self._process.limits.poll_seconds)
        if ready:
            self._wake_read.recv(64)

    def poll(self) -> dict[str, JobState]:
        """Return the states of the jobs; one is 'finished' once all that it delivers has arrived."""
        jobs = [job for job in self._jobs.values() if job.outcome is None]
        reply = self._call(Call(method="poll", handles=[job.handle for job in jobs])) if jobs else None
        if reply is None:
            return {}
        states = {}
        for job, state in zip(jobs, reply.states, strict=True):
            self._pass_messages_on(job)
            states[job.attempt.token] = self._judge(job, state)
        return states

    def outcome(self, token: str) -> Outcome:
        """Return the outcome of a finished job, after moving what it has written to the run directory."""
        job = self._jobs[token]
        assert job.outcome is not None
        job.folder.move_to(self._run, job.attempt.task)
        finished = job.outcome.finished
        if self._process.limits.shared and finished is not None and finished.cell is not None:
            cell = marked(finished.cell, "parallel", SHARED_NOTE)
            return msgspec.structs.replace(job.outcome, finished=msgspec.structs.replace(finished, cell=cell))
        return job.outcome

    def forget(self, token: str) -> None:
        """Accept nothing more of a job: keep its checkpoint and remove its folder, so that it ends if it still runs."""
        job = self._jobs.pop(token, None)
        if job is not None:
            _remove(job.folder, self._run, job.attempt.task)
            self._journal.write([Entry(event="ended", token=token)])

    def handle_of(self, token: str) -> JobHandle:
        """Return what the executor knows a job by."""
        return self._jobs[token].handle

    def cancel(self, tokens: Sequence[str]) -> None:
        """Ask the engine to end jobs."""
        handles = [self._jobs[token].handle for token in tokens if token in self._jobs]
        if handles:
            self.on_stopping()
            self._note_stopped([handle.token for handle in handles])
            self._call(Call(method="cancel", handles=handles))
            self._cancelled |= {*tokens}

    @property
    def stop_requested(self) -> bool:
        """Whether the jobs were asked to stop."""
        return self._stop_requested

    def problems(self, submissions: Sequence[Submission]) -> list[str]:
        """Return for each job why it can never run, or an empty string."""
        return self._process.call(Call(method="check", needs=[*map(resources_of, submissions)])).names

    def request_stop(self) -> None:
        """Ask the jobs to stop; `cancel` does so."""
        self._stop_requested = True
        self._stop_deadline = time.monotonic() + STOP_SECONDS
        self._wake_write.send(b"\n")

    def close(self) -> bool:
        """End the executor's process; return whether it ended by itself.

        After a request to stop, jobs that were not asked to end yet are: a second Ctrl-C ends the command at once.
        """
        left = [job.handle for token, job in self._jobs.items() if token not in self._cancelled]
        if self._stop_requested and left and self._process.running:
            self._note_stopped([handle.token for handle in left])
            with contextlib.suppress(ExecutorFailed):
                self._process.call(Call(method="cancel", handles=left))
        return self._process.close()

    def _note_stopped(self, tokens: Sequence[str]) -> None:
        """Note that jobs end with this command, which the next one must not take for somebody's decision."""
        if self._stop_requested:
            self._journal.write(Entry(event="stopped", token=token) for token in tokens)

    def _call(self, call: Call) -> Reply | None:
        """Call a method; None where it failed for once. Raises `ExecutorFailed` if calls fail again and again."""
        try:
            reply = self._process.call(call)
        except ExecutorFailed as error:
            self._failures += 1
            if self._failures >= FAILURES or not self._process.running:
                raise
            self._warn(error.cause)
            return None
        self._failures = 0
        return reply

    def _judge(self, job: _Submitted, state: JobState) -> JobState:
        """Return the state of a job in view of what it has delivered."""
        if state.state == "pending":
            limit = self._process.limits.start_seconds
            if limit is not None and self._clock() - job.submitted_at > limit:
                self._call(Call(method="cancel", handles=[job.handle]))
                return JobState(state="lost", reason=_joined(f"it did not start within {limit:g} s", state.reason))
        if state.state in ("pending", "running"):
            job.ended_at = None  # also where the engine has started it again
            return self._unconfirmed(self._believed(job, state))
        problem = self._receive(job)
        if not problem:
            return JobState(state="finished", node=state.node)
        if state.state == "oom":
            job.outcome = Outcome(out_of_memory=True, notes=[state.reason] if state.reason else [])
            return JobState(state="finished", node=state.node)
        if state.state == "cancelled" and job.stopped:
            return JobState(state="lost", reason="it was stopped with an earlier command", node=state.node)
        if state.state != "finished":
            return state
        job.ended_at = self._clock() if job.ended_at is None else job.ended_at
        if self._clock() - job.ended_at < self._delivery_seconds:
            return JobState(state="running", node=state.node)
        if _has_started(job.folder):
            return JobState(state="lost", reason=_joined(problem, state.reason), node=state.node)
        why = f"it left no trace in {job.folder.path}: do the nodes share this directory, and start Python there?"
        job.outcome = Outcome(how=_joined(f"its job ended, but {why}", state.reason))
        return JobState(state="finished", node=state.node)

    def _believed(self, job: _Submitted, state: JobState) -> JobState:
        """Return the state of a job that goes on as the engine says, unless that cannot be."""
        now = self._clock()
        if state.state == "pending":
            job.running_since = job.delivered_at = None
            return state
        job.running_since = now if job.running_since is None else job.running_since
        if job.seconds is not None and now - job.running_since > job.seconds:
            self._call(Call(method="cancel", handles=[job.handle]))
            return JobState(state="lost", reason=f"it still ran after {job.seconds:g} s", node=state.node)
        if self._process.limits.collects or not job.folder.has_delivered():
            return state
        job.delivered_at = now if job.delivered_at is None else job.delivered_at
        if now - job.delivered_at < self._delivery_seconds or self._receive(job):
            return state
        return JobState(state="finished", node=state.node)

    def _unconfirmed(self, state: JobState) -> JobState:
        """Do not wait for ever for the end of jobs that were asked to stop."""
        if state.state == "finished" or self._stop_deadline is None or time.monotonic() < self._stop_deadline:
            return state
        return JobState(state="lost", reason="the engine did not confirm its end")

    def _receive(self, job: _Submitted) -> str:
        """Read the delivery of a job; return what is missing or wrong, or an empty string."""
        if self._process.limits.collects:
            reply = self._call(Call(method="collect", handles=[job.handle]))
            if reply is not None and reply.collected is not None and (why := job.folder.unpack(reply.collected)):
                return why
        found = job.folder.delivery(job.attempt.token)
        if not isinstance(found, NodeResult):
            return found
        if found.outcome.stopped:
            return "it was asked to stop"
        try:
            problem = problem_of_outcome(found.outcome, job.folder.request().job)
        except (OSError, msgspec.MsgspecError) as error:
            return f"its request cannot be read ({error})"
        job.outcome = None if problem else found.outcome
        return problem

    def _pass_messages_on(self, job: _Submitted) -> None:
        messages, job.read = job.folder.messages(job.read)
        for message in messages:
            self.on_message(job.attempt.token, message)

    def _request(self, submission: Submission) -> JobRequest:
        job, attempt = submission.job, submission.attempt
        payload = NodeJob(
            token=attempt.token,
            job=msgspec.structs.replace(job, device=job.device.partition(":")[0]),
            timeout=submission.timeout,
            fingerprint=fingerprint(job.plugins),
            plugin_files=[_plugin_file(plugin) for plugin in job.plugins if plugin["origin"] == "file"],
            directory=str(Path.cwd()),
            trial=submission.trial,
            variables={k: v for k, v in os.environ.items() if k.startswith("GENBENCH_") and k not in _OWN_VARIABLES},
        )
        folder = self._place / attempt.token
        return JobRequest(
            token=attempt.token,
            cell=attempt.task,
            label=submission.label,
            attempt=attempt.number,
            resources=resources_of(submission),
            folder=folder,
            command=(sys.executable, "-P", "-m", "genbench.runner.node", str(folder), attempt.token),
            payload=encode_line(payload),
        )


def give_up_jobs(run: RunDirectory) -> int:
    """Accept nothing of the jobs of an earlier process, but keep their checkpoints; return how many there were."""
    place = run.path.resolve() / FOLDER
    journal = Journal(place)
    jobs = journal.open_jobs()
    for job in jobs:
        _remove(JobFolder(place / job.attempt.token), run, job.attempt.task)
    journal.write(Entry(event="ended", token=job.attempt.token, reason="given up") for job in jobs)
    return len(jobs)


def _remove(folder: JobFolder, run: RunDirectory, task: str) -> None:
    """Remove the folder of a job, and keep its checkpoint and log."""
    folder.move_to(run, task, only=("checkpoints", "logs"))
    folder.remove()


def resources_of(submission: Submission) -> Resources:
    """Return what a job needs on a node."""
    job, timeout = submission.job, submission.timeout
    processes = resolve_recipe(job.cell.identity.recipe).nproc if job.cell is not None else 1
    kind = job.device.partition(":")[0]
    return Resources(
        processes=processes,
        cores=job.threads * processes,
        devices=0 if kind == "cpu" else processes,
        device_type=kind,
        memory=job.memory_limit,
        seconds=None if timeout is None else timeout + _MARGIN_SECONDS,
        estimate=submission.estimate,
        extensions=submission.extensions,
    )


def _plugin_file(plugin: dict[str, str]) -> PluginFile:
    """Return the file of a single-file plugin, if it is still the one that was planned with."""
    path = Path(plugin["target"])
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest()[: len(plugin["version"])] != plugin["version"]:
        raise UsageError(
            f"The plugin file {path} has changed since the run was planned.", "Restore the file.", code="GB207"
        )
    return PluginFile(path.name, content.decode())


def _has_started(folder: JobFolder) -> bool:
    try:
        return folder.running() is not None
    except OSError:
        return True


def _joined(*parts: str) -> str:
    return ": ".join(filter(None, parts))
