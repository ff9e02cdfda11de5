"""Which job comes next, and what becomes of one that ends: a state machine without processes, files or clocks.

Tasks are executed in the order of the plan. A job is one attempt at a task and has a token of its own; of all attempts
at a task, exactly one may deliver its result. A task whose job was lost is tried again after those that wait already,
as often as its training makes progress, and a few times more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

RETRIES = 2  # of a task whose jobs were lost, none of which made progress


class Attempt(NamedTuple):
    """One attempt at a task."""

    token: str
    task: str
    number: int  # 1, 2, …; 1 again after one that made progress
    counts: bool = True  # whether its loss is one; False: a command has ended with it


class Schedule:
    """The tasks of a run, and the attempts at them.

    Args:
        tasks: their names, in the order in which they start; no two are the same.
        new_token: returns a new token; it never returns one twice.
        numbers: the number of the next attempt at a task, if it is not 1, as an earlier schedule has left it.
        retries: how often a task is tried again after jobs of it were lost, none of which made progress.
    """

    def __init__(
        self,
        tasks: Iterable[str],
        new_token: Callable[[], str],
        numbers: Mapping[str, int] | None = None,
        retries: int = RETRIES,
    ) -> None:
        numbers = numbers or {}
        self._waiting = OrderedDict((task, numbers.get(task, 1)) for task in tasks)  # -> number of its next attempt
        self._new_token, self._retries = new_token, retries
        self._stopped = False
        self.submitted: dict[str, Attempt] = {}  # by token, in the order of submission

    @property
    def done(self) -> bool:
        """Whether nothing is submitted and nothing will be."""
        return not self.submitted and (self._stopped or not self._waiting)

    def adopt(self, attempt: Attempt) -> bool:
        """Take over an attempt that an earlier process has submitted; return whether its task was still waiting."""
        if self._waiting.pop(attempt.task, None) is None:
            return False
        self.submitted[attempt.token] = attempt
        return True

    def take(self, capacity: int) -> list[Attempt]:
        """Return the attempts to submit now, so that at most `capacity` jobs are submitted; they count as submitted."""
        taken = []
        while not self._stopped and self._waiting and len(self.submitted) < capacity:
            task, number = self._waiting.popitem(last=False)
            attempt = Attempt(self._new_token(), task, number)
            self.submitted[attempt.token] = attempt
            taken.append(attempt)
        return taken

    def put_back(self, attempts: Sequence[Attempt]) -> None:
        """Let the tasks of attempts that could not be submitted wait again, in their old place."""
        for attempt in reversed(attempts):
            del self.submitted[attempt.token]
            self._waiting[attempt.task] = attempt.number
            self._waiting.move_to_end(attempt.task, last=False)

    def end(self, token: str) -> Attempt | None:
        """Note that a job has delivered, or never will again; return its attempt, or None if that was known before."""
        return self.submitted.pop(token, None)

    def lose(self, token: str, got_on: bool = False) -> int:
        """Note that a job was lost; return the number of the next attempt at its task, 0 if there will be none.

        Args:
            got_on: whether it has saved more of its training than those before it; it then does not count.
        """
        attempt = self.submitted.pop(token)
        number = 0 if got_on else attempt.number - (not attempt.counts)
        if number > self._retries:
            return 0
        self._waiting[attempt.task] = number + 1
        return number + 1

    def stop(self) -> None:
        """Submit nothing more."""
        self._stopped = True
