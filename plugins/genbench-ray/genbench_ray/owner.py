"""The actor that owns the jobs of a driver, and outlives it.

Ray ends a task when the process that submitted it, its owner, ends. The jobs of a run must outlive a driver that is
killed, so a detached actor on the head node submits them. Another driver finds it by its name.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ray
from ray.exceptions import OutOfMemoryError, TaskCancelledError

from genbench_ray.task import JobEnd, execute

_LOOK_SECONDS = 60.0  # between looks at whether the driver has gone
_NOT_SHARED_OR_STOPPED = 128 + signal.SIGTERM  # status of a job that was asked to stop before it had a result


class Order(NamedTuple):
    """A job to submit."""

    token: str
    command: tuple[str, ...]
    payload: bytes  # of a job without a shared directory
    amounts: dict[str, float]  # that it reserves, by Ray's names
    label: str


class Known(NamedTuple):
    """The state of a job, as of `genbench.JobState`."""

    state: str
    reason: str = ""
    node: str = ""


@dataclass
class _Job:
    waits_for: str  # for people
    task: Any  # reference to its result
    watch: asyncio.Task[None] | None = None
    node: str = ""  # where it was started; empty: it waits
    node_id: str = ""  # of that node, in Ray
    end: JobEnd | None = None
    lost: str = ""  # why there is no end
    out_of_memory: bool = False  # Ray killed it, so that its node keeps running
    cancelled: bool = False
    collected: bool = False

    @property
    def ended(self) -> bool:
        return self.end is not None or self.lost != ""

    @property
    def is_needed(self) -> bool:
        """Whether it has not ended, or has a result that was not collected."""
        return not self.ended or (self.end is not None and self.end.packed is not None and not self.collected)


class JobOwner:
    """Submits tasks, and knows their states and results. All methods are coroutines: they run one at a time."""

    def __init__(self, keep_seconds: float) -> None:
        self._jobs: dict[str, _Job] = {}
        self._keep_seconds = keep_seconds
        self._asked_at = time.monotonic()
        self._self = ray.get_runtime_context().current_actor
        self._end: asyncio.Task[None] | None = None

    async def submit(self, orders: Sequence[Order]) -> None:
        """Submit jobs; those that are known are not submitted again."""
        self._note_call()
        for order in orders:
            if order.token in self._jobs:
                continue
            amounts = dict(order.amounts)
            task = (
                ray.remote(execute)
                .options(
                    num_cpus=amounts.pop("CPU", 0),
                    num_gpus=amounts.pop("GPU", 0),
                    memory=amounts.pop("memory", None),
                    resources=amounts,
                    name=f"genbench {order.label}",
                    max_retries=0,  # genbench tries a lost job again, from its checkpoint
                    scheduling_strategy="SPREAD",  # cells that share a node disturb each other
                )
                .remote(self._self, order.token, order.command, order.payload)
            )
            job = _Job(", ".join(f"{v:g} {k}" for k, v in order.amounts.items()), task)
            self._jobs[order.token] = job
            job.watch = asyncio.create_task(_watch(job))

    async def note_start(self, token: str, node: str, node_id: str = "") -> None:
        """Note where a job has started."""
        if token in self._jobs:
            self._jobs[token].node, self._jobs[token].node_id = node, node_id

    async def states(self, tokens: Sequence[str]) -> list[Known]:
        """Return the states of jobs; those that have ended and are not asked for any more are forgotten."""
        self._note_call()
        await self._note_dead_nodes()
        for token in [t for t, job in self._jobs.items() if not job.is_needed and t not in tokens]:
            del self._jobs[token]
        return [_known(self._jobs.get(token)) for token in tokens]

    async def cancel(self, tokens: Sequence[str]) -> None:
        """End jobs: one that runs saves its state first."""
        self._note_call()
        for job in filter(None, map(self._jobs.get, tokens)):
            if not job.ended:
                job.cancelled = True
                ray.cancel(job.task)

    async def collect(self, token: str) -> bytes | None:
        """Return what a job without a shared directory delivers."""
        self._note_call()
        job = self._jobs.get(token)
        if job is None or not job.ended:
            return None
        job.collected = True
        return job.end.packed if job.end is not None else None

    async def is_needed(self) -> bool:
        """Whether a job has not ended, or has a result that was not collected."""
        return any(job.is_needed for job in self._jobs.values())

    async def _note_dead_nodes(self) -> None:
        """Take the jobs of dead nodes for lost: Ray does so only minutes later, where a node hangs."""
        running = [job for job in self._jobs.values() if job.node_id and not job.ended]
        if not running:
            return
        alive = {node["NodeID"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]}
        for job in running:
            if job.node_id not in alive and not job.ended:
                job.lost = f"its node {job.node} is dead"

    def _note_call(self) -> None:
        self._asked_at = time.monotonic()
        if self._end is None:
            self._end = asyncio.create_task(self._end_without_driver())

    async def _end_without_driver(self) -> None:
        """End this actor once no job runs and no driver has called for a long time."""
        while any(not job.ended for job in self._jobs.values()) or self._idle_seconds() < self._keep_seconds:
            await asyncio.sleep(min(_LOOK_SECONDS, self._keep_seconds))
        ray.kill(self._self)

    def _idle_seconds(self) -> float:
        return time.monotonic() - self._asked_at


async def _watch(job: _Job) -> None:
    """Wait for the end of a task. Its result is then here, and does not depend on the node that made it."""
    try:
        job.end = JobEnd(*await job.task)
    except TaskCancelledError:
        job.cancelled, job.lost = True, "it was cancelled"
    except Exception as error:
        job.out_of_memory = isinstance(error, OutOfMemoryError)
        text = " ".join(str(error).split())
        job.lost = f"{type(error).__name__}: {text[:300]}"
    finally:
        del job.task  # what Ray keeps of it


def _known(job: _Job | None) -> Known:
    """Return the state of a job."""
    if job is None:
        return Known("lost", "Ray does not know the job")
    if not job.ended:
        return Known("running", node=job.node) if job.node else Known("pending", f"no node has {job.waits_for} free")
    if job.end is None and job.out_of_memory:
        return Known("oom", job.lost, job.node)
    if job.end is None:
        return Known("cancelled" if job.cancelled else "lost", job.lost, job.node)
    status, lines = job.end.status, job.end.output.strip().splitlines()
    reason = f"status {status}" + (f", {lines[-1]}" if lines else "")
    if job.cancelled:
        return Known("cancelled", "it was cancelled", job.node)
    if status < 0:
        return Known("lost", f"killed by {signal.Signals(-status).name}", job.node)
    if status == _NOT_SHARED_OR_STOPPED:
        return Known("lost", "it was asked to stop", job.node)
    return Known("finished", reason, job.node)
