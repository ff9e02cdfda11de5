"""An engine with many workers on a virtual clock, and every fault of a real one: no process, no file, no waiting."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

from genbench.runner.jobs.schedule import RETRIES, Attempt, Schedule

FAULTS = ("node lost", "late result", "result twice", "refused", "driver restarted", "lost twice")


@dataclass
class Simulation:
    """A plan on an engine; `run` executes it to its end and keeps what happened."""

    tasks: int
    workers: int
    faults: int  # to inject, as long as there are jobs
    seed: int = 0
    restarts: bool = True  # whether the driver is killed and resumed, too
    now: float = 0.0
    results: Counter[str] = field(default_factory=Counter)  # accepted, by task
    given_up: set[str] = field(default_factory=set)
    refused: int = 0  # deliveries that were not accepted
    first_starts: list[str] = field(default_factory=list)  # tasks in the order of their first attempt
    attempts: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    busiest: int = 0  # most jobs at the same time
    tried_again_after: list[float] = field(default_factory=list)  # seconds from a loss to the next attempt

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._numbers = itertools.count()
        self._lost_at: dict[str, float] = {}  # by task
        self._journal: dict[str, int] = {}  # numbers of next attempts, by task
        self._names = [f"task-{number}" for number in range(self.tasks)]
        self._schedule = self._new_schedule(self._names)
        self._events: list[tuple[float, int, str, Attempt]] = []  # time, order, what happens, to which job

    def _new_schedule(self, names: list[str]) -> Schedule:
        return Schedule(names, lambda: f"{next(self._numbers):x}", self._journal)

    def run(self) -> None:
        """Execute the plan."""
        self._submit()
        while not self._schedule.done:
            self.now, _, what, attempt = heapq.heappop(self._events)
            if what == "delivery":
                self._deliver(attempt)
            elif attempt.token in self._schedule.submitted:
                self._lose(attempt)
            if self.restarts and self._fault("driver restarted", 0.002):
                self._restart()
            self._submit()

    def _submit(self) -> None:
        taken = self._schedule.take(self.workers)
        if taken and self._fault("refused", 0.1):
            kept = self._random.randrange(len(taken))
            self._schedule.put_back(taken[kept:])
            taken = taken[:kept]
        for attempt in taken:
            self.attempts[attempt.task] += 1
            if self.attempts[attempt.task] == 1:
                self.first_starts.append(attempt.task)
            if attempt.task in self._lost_at:
                self.tried_again_after.append(self.now - self._lost_at.pop(attempt.task))
            self._start(attempt)
        self.busiest = max(self.busiest, len(self._schedule.submitted))
        if self._schedule.submitted and not self._events:  # everything that was taken was put back
            raise AssertionError("jobs without an end")

    def _start(self, attempt: Attempt) -> None:
        end = self.now + self._random.expovariate(1 / 60)
        if self._fault("node lost", 0.25):
            self._plan(end, "loss", attempt)
        elif self._fault("late result", 0.1):  # its node returns after the job was given to another
            self._plan(end, "loss", attempt)
            self._plan(end + self._random.expovariate(1 / 60), "delivery", attempt)
        else:
            self._plan(end, "delivery", attempt)
            if self._fault("result twice", 0.1):
                self._plan(end + self._random.expovariate(1), "delivery", attempt)
            if self._fault("lost twice", 0.1):
                self._plan(end + 1, "loss", attempt)

    def _deliver(self, attempt: Attempt) -> None:
        if self._schedule.end(attempt.token) is None:
            self.refused += 1
        else:
            self.results[attempt.task] += 1

    def _lose(self, attempt: Attempt) -> None:
        if number := self._schedule.lose(attempt.token):
            self._journal[attempt.task] = number
            self._lost_at[attempt.task] = self.now
        else:
            self.given_up.add(attempt.task)

    def _restart(self) -> None:
        """Forget everything but the results, the jobs of the engine and the journal, as a new process does."""
        jobs = [*self._schedule.submitted.values()]
        left = [name for name in self._names if not self.results[name] and name not in self.given_up]
        self._schedule = self._new_schedule(left)
        adopted = [self._schedule.adopt(attempt) for attempt in jobs]
        assert all(adopted)

    def _plan(self, time: float, what: str, attempt: Attempt) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), what, attempt))

    def _fault(self, kind: str, probability: float) -> bool:
        happens = self.injected.total() < self.faults and self._random.random() < probability
        self.injected[kind] += happens
        return happens


def most_attempts() -> int:
    """Return how many attempts at a task there are at most."""
    return RETRIES + 1
