"""The order of jobs: no task is lost or has two results, whatever becomes of its attempts."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from simulated_engine import Simulation, most_attempts

from genbench.runner.jobs.schedule import RETRIES, Attempt, Schedule


def schedule(*tasks: str) -> Schedule:
    numbers = itertools.count()
    return Schedule(tasks, lambda: f"{next(numbers)}")


def test_tasks_start_in_order_and_a_retry_waits_behind_them() -> None:
    plan = schedule("a", "b", "c")
    first, second = plan.take(2)
    assert [first.task, second.task] == ["a", "b"]
    assert plan.take(2) == []
    assert plan.lose(first.token)
    assert [attempt.task for attempt in plan.take(3)] == ["c", "a"]


def test_a_job_ends_once() -> None:
    plan = schedule("a")
    (attempt,) = plan.take(1)
    assert plan.end(attempt.token) == attempt
    assert plan.end(attempt.token) is None
    assert plan.done


def test_a_task_is_given_up_after_its_retries() -> None:
    plan = schedule("a")
    for number in range(1, RETRIES + 2):
        (attempt,) = plan.take(1)
        assert attempt.number == number
        assert plan.lose(attempt.token) == (number + 1 if number <= RETRIES else 0)
    assert plan.done


def test_a_job_that_got_on_does_not_count_against_its_task() -> None:
    plan = schedule("a")
    for _ in range(10):
        (attempt,) = plan.take(1)
        assert attempt.number == 1
        assert plan.lose(attempt.token, got_on=True)
    assert not plan.done


def test_what_the_engine_did_not_take_is_offered_again_first_and_not_counted() -> None:
    plan = schedule("a", "b", "c")
    plan.put_back(plan.take(2)[1:])
    (again,) = plan.take(2)
    assert (again.task, again.number) == ("b", 1)


def test_an_adopted_job_takes_the_place_of_its_task() -> None:
    plan = schedule("a", "b")
    assert plan.adopt(Attempt("from-before", "b", 2))
    assert not plan.adopt(Attempt("of-a-finished-task", "x", 1))
    assert [attempt.task for attempt in plan.take(5)] == ["a"]
    assert plan.lose("from-before") == 3
    assert plan.take(5)[0].number == 3


def test_a_new_schedule_goes_on_counting_and_an_interruption_does_not_count() -> None:
    plan = Schedule(["a", "b"], iter("1234").__next__, {"a": 3})
    assert plan.adopt(Attempt("stopped", "b", 2, counts=False))
    assert plan.lose("stopped") == 2
    assert [(attempt.task, attempt.number) for attempt in plan.take(5)] == [("a", 3), ("b", 2)]
    assert plan.lose("1") == 0


def test_after_a_stop_only_running_jobs_are_left() -> None:
    plan = schedule("a", "b")
    (attempt,) = plan.take(1)
    plan.stop()
    assert not plan.done
    assert plan.take(5) == []
    plan.end(attempt.token)
    assert plan.done


class Faults(RuleBasedStateMachine):
    """Any sequence of what an engine can do leaves each task waiting, submitted, finished or given up: exactly one."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = [f"t{number}" for number in range(6)]
        self.plan = schedule(*self.tasks)
        self.results: Counter[str] = Counter()
        self.given_up: set[str] = set()
        self.ended: list[str] = []

    @rule(capacity=st.integers(0, 8), kept=st.integers(0, 8))
    def submit(self, capacity: int, kept: int) -> None:
        taken = self.plan.take(capacity)
        assert len(self.plan.submitted) <= max(capacity, len(self.plan.submitted) - len(taken))
        self.plan.put_back(taken[kept:])

    @precondition(lambda self: self.plan.submitted)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        attempt = self.plan.end(data.draw(st.sampled_from([*self.plan.submitted])))
        assert attempt is not None
        self.results[attempt.task] += 1
        self.ended.append(attempt.token)

    @precondition(lambda self: self.plan.submitted)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        attempt = self.plan.submitted[data.draw(st.sampled_from([*self.plan.submitted]))]
        if not self.plan.lose(attempt.token):
            self.given_up.add(attempt.task)
        self.ended.append(attempt.token)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        assert self.plan.end(data.draw(st.sampled_from(self.ended))) is None

    @rule()
    def restart(self) -> None:
        jobs = [*self.plan.submitted.values()]
        left = [task for task in self.tasks if not self.results[task] and task not in self.given_up]
        before = self.plan
        self.plan = Schedule(left, before._new_token, before._waiting)
        assert all(self.plan.adopt(attempt) for attempt in jobs)

    @invariant()
    def every_task_is_in_one_place(self) -> None:
        waiting = [*self.plan._waiting]
        submitted = [attempt.task for attempt in self.plan.submitted.values()]
        places = Counter([*waiting, *submitted, *self.results.elements(), *self.given_up])
        assert places == Counter(self.tasks)


TestFaults = Faults.TestCase


def test_a_thousand_workers_and_ten_thousand_faults() -> None:
    simulated = Simulation(tasks=20_000, workers=1000, faults=10_000)
    simulated.run()
    assert simulated.injected.total() == 10_000
    assert set(simulated.results.values()) == {1}  # no task has two results
    assert len(simulated.results) + len(simulated.given_up) == 20_000  # and none is lost
    assert not simulated.given_up & {*simulated.results}
    assert simulated.refused >= simulated.injected["late result"]
    assert simulated.busiest == 1000


def test_without_faults_tasks_start_in_the_order_of_the_plan() -> None:
    simulated = Simulation(tasks=3000, workers=100, faults=0)
    simulated.run()
    assert simulated.first_starts == [f"task-{number}" for number in range(3000)]
    assert set(simulated.attempts.values()) == {1}


@pytest.mark.parametrize("seed", range(3))
def test_a_task_is_tried_only_as_often_as_it_was_lost(seed: int) -> None:
    simulated = Simulation(tasks=3000, workers=20, faults=1500, seed=seed)
    simulated.run()
    lost = simulated.injected["node lost"] + simulated.injected["late result"]
    assert simulated.attempts.total() <= 3000 + lost
    assert simulated.injected["driver restarted"] > 0
    assert max(simulated.attempts.values()) <= most_attempts()
