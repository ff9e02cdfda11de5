"""The executor: what genbench asks for, in terms of Ray."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from typing import Any

import genbench
from genbench_ray import RayOptions
from genbench_ray.connection import NAMESPACE, connect
from genbench_ray.requirements import Amounts, custom_resources, reservation, why_impossible

_ACTOR_SHARE = 0.65  # of the time that genbench waits, for an answer of an actor, which may have to start first
_HEAD = "node:__internal_head__"  # resource of the head node


class RayExecutor:
    """Submits jobs to a Ray cluster; the name of a job is that of the actor that owns it, and its token.

    The name of an actor contains that of the run directory: whatever its journal says, other actors are left alone.
    """

    poll_seconds = 1.0

    def __init__(self, setup: genbench.ExecutorSetup, options: RayOptions) -> None:
        self._custom = custom_resources(options.resources)
        self._options = options
        self._ray = connect(options.address)
        self._answer_seconds = _ACTOR_SHARE * setup.call_seconds
        self.capacity = options.jobs
        self.start_seconds = options.start_seconds or None
        self._prefix = f"genbench-{setup.run_name}-"
        self._name = self._new_name()  # of the actor that owns what this driver submits
        self._owner: Any = None
        self._seen: set[str] = set()  # names of actors of which this driver has asked for jobs

    def check(self, needs: Sequence[genbench.Resources]) -> Sequence[str]:
        """Return for each need why no node can meet it; with autoscaling, nobody knows."""
        if self._options.autoscaling:
            return ["" for _ in needs]
        nodes = self._nodes()
        return [why_impossible(self._reservation(need, nodes), nodes) for need in needs]

    def submit(self, jobs: Sequence[genbench.JobRequest]) -> Sequence[str]:
        """Hand jobs to the actor that owns them."""
        from genbench_ray.owner import Order

        if not jobs:
            return []
        nodes, unshared = self._nodes(), self._options.results == "object-store"
        orders = [
            Order(
                job.token,
                job.command,
                job.payload if unshared else b"",
                self._reservation(job.resources, nodes),
                job.label,
            )
            for job in jobs
        ]
        owner = self._own_actor()
        try:
            self._answer(owner.submit.remote(orders))
        except BaseException:
            owner.cancel.remote([job.token for job in jobs])  # it may have taken them
            raise
        return [f"{self._name}:{job.token}" for job in jobs]

    def poll(self, jobs: Sequence[genbench.JobHandle]) -> Sequence[genbench.JobState]:
        """Return the states; a job of an actor that has gone is lost."""
        states: dict[str, genbench.JobState] = {}
        for name, tokens in _by_owner(jobs).items():
            known = self._ask(name, "states", tokens)
            if known is None:
                lost = genbench.JobState(state="lost", reason="the Ray cluster no longer knows the job")
                states |= dict.fromkeys(tokens, lost)
            else:
                found = [genbench.JobState(state=k.state, reason=k.reason, node=k.node) for k in known]
                states |= dict(zip(tokens, found, strict=True))
        return [states[job.token] for job in jobs]

    def cancel(self, jobs: Sequence[genbench.JobHandle]) -> None:
        """Ask Ray to cancel tasks; those that run send SIGTERM to their job."""
        for name, tokens in _by_owner(jobs).items():
            self._ask(name, "cancel", tokens)

    def close(self) -> None:
        """End the actors that own nothing that is still wanted, and leave the cluster."""
        for name in self._seen:
            with contextlib.suppress(Exception):
                if self._ask(name, "is_needed") is False:
                    self._ray.kill(self._ray.get_actor(name, NAMESPACE))
        self._ray.shutdown()

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _reservation(self, need: genbench.Resources, nodes: list[dict[str, float]]) -> Amounts:
        return reservation(need, self._custom, self._options.exclusive, nodes)

    def _new_name(self) -> str:
        return f"{self._prefix}{secrets.token_hex(8)}"

    def _own_actor(self) -> Any:
        """Return the actor for new jobs, starting it on the head node if there is none."""
        from genbench_ray.owner import JobOwner

        if self._owner is None or self._ask(self._name, "is_needed") is None:
            alive = [node for node in self._ray.nodes() if node["Alive"]]
            head = next((node["NodeID"] for node in alive if _HEAD in node["Resources"]), None)
            if head is None:
                raise ConnectionError("the head node of the Ray cluster is not alive")
            self._name = self._new_name()
            self._seen.add(self._name)
            self._owner = (
                self._ray.remote(JobOwner)
                .options(
                    name=self._name,
                    namespace=NAMESPACE,
                    lifetime="detached",
                    num_cpus=0,
                    max_restarts=0,
                    scheduling_strategy=self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                        node_id=head, soft=False
                    ),
                )
                .remote(self._options.keep_hours * 3600)
            )
        return self._owner

    def _ask(self, name: str, method: str, *arguments: Any) -> Any:
        """Return the answer of an actor; None: it is not one of this run, the cluster does not know it, or it ended."""
        if not name.startswith(self._prefix):
            return None
        self._seen.add(name)
        try:
            owner = self._ray.get_actor(name, NAMESPACE)
            return self._answer(getattr(owner, method).remote(*arguments))
        except (ValueError, self._ray.exceptions.ActorDiedError):
            return None
        except (self._ray.exceptions.ActorUnavailableError, self._ray.exceptions.GetTimeoutError):
            raise ConnectionError("the head node of the Ray cluster does not answer") from None

    def _answer(self, reference: Any) -> Any:
        return self._ray.get(reference, timeout=self._answer_seconds)


class StoringRayExecutor(RayExecutor):
    """The same where nodes share no directory: results come through Ray's object store."""

    def collect(self, job: genbench.JobHandle) -> bytes | None:
        """Return what a job without a shared directory delivered."""
        (name,) = _by_owner([job])
        packed: bytes | None = self._ask(name, "collect", job.token)
        return packed


def create(setup: genbench.ExecutorSetup, options: RayOptions) -> RayExecutor:
    """Return the executor for the way in which results arrive."""
    return (StoringRayExecutor if options.results == "object-store" else RayExecutor)(setup, options)


def _by_owner(jobs: Sequence[genbench.JobHandle]) -> dict[str, list[str]]:
    """Return the tokens of jobs by the name of the actor that owns them."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        found.setdefault(job.job.partition(":")[0], []).append(job.token)
    return found
