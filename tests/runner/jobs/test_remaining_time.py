"""The time that a plan still takes: from finished cells of the same kind, in proportion to budgets."""

from __future__ import annotations

import math

import pytest

from genbench.runner.jobs.remaining_time import Remaining, RemainingTime, Share, remaining

GAN, LONG_GAN, VAE, FLOW = Share("gan", 100), Share("gan", 300), Share("vae", 100), Share("flow", 100)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_cells_of_a_known_kind_take_time_in_proportion_to_their_budget() -> None:
    found = remaining({GAN: 2, LONG_GAN: 1}, [], {"gan": 0.1})
    assert found == Remaining(pytest.approx(10 + 10 + 30), pytest.approx(50), 0)
    assert found.text() == "about 50 s left"


def test_a_running_cell_takes_the_rest_of_its_time_and_at_least_what_its_training_does() -> None:
    assert remaining({}, [(GAN, 4.0, math.inf)], {"gan": 0.1}).low == pytest.approx(6)
    assert remaining({}, [(GAN, 4.0, 8.0)], {"gan": 0.1}).low == pytest.approx(8)
    assert remaining({}, [(GAN, 40.0, math.inf)], {"gan": 0.1}).low == 0


def test_the_first_cell_of_a_kind_says_what_the_others_of_it_take() -> None:
    found = remaining({GAN: 3}, [(GAN, 5.0, 5.0)], {})
    assert found.low == found.high == pytest.approx(5 + 30)
    assert found.unknown == 0


def test_kinds_that_no_cell_has_run_make_it_a_lower_bound_and_then_a_range() -> None:
    one = remaining({VAE: 2, FLOW: 1}, [(GAN, 5.0, 5.0)], {})
    assert one.text() == "at least 5 s left (2 kinds not timed yet)"
    two = remaining({FLOW: 10}, [], {"gan": 1.0, "vae": 3.0})
    assert (two.low, two.high) == (1000, 3000)
    assert two.text() == "roughly 17 to 50 min left (1 kind not timed yet)"
    assert remaining({FLOW: 1}, [], {"gan": 0.3, "vae": 3.0}).text().startswith("roughly 30 s to 5 min left")


def test_cells_that_run_at_the_same_time_share_it_but_none_is_faster_than_alone() -> None:
    assert remaining({GAN: 4}, [], {"gan": 0.1}, places=2).low == pytest.approx(20)
    assert remaining({LONG_GAN: 1, GAN: 1}, [], {"gan": 0.1}, places=8).low == pytest.approx(30)


def test_a_cell_takes_what_a_trial_says_until_one_of_its_kind_trains_and_then_what_finished_ones_took() -> None:
    clock = Clock()
    time = RemainingTime({"a": GAN, "b": LONG_GAN, "c": VAE}, clock, {"gan": 0.5})
    assert (time.whole("a"), time.whole("b"), time.whole("c")) == (50, 150, None)
    time.start("a")
    time.train("a", math.inf, 0)
    assert time.whole("b") == 150
    time.train("a", 80.0, 20)  # one second per image
    assert time.whole("b") == 300
    time.train("a", 0.0, 100)
    assert time.whole("b") == 300
    clock.now += 140  # with its evaluation
    time.end("a", measured=True)
    assert (time.whole("b"), time.whole("of another run")) == (pytest.approx(420), None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "5 s"), (43, "45 s"), (57, "55 s"), (58, "1 min"), (250, "4 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_times_are_as_precise_as_an_estimate_deserves(seconds: float, text: str) -> None:
    assert Remaining(seconds, seconds).text() == f"about {text} left"


def test_a_run_is_followed_from_its_first_cell_to_its_last() -> None:
    clock = Clock()
    time = RemainingTime({"g0": GAN, "g1": GAN, "v0": VAE, "v1": VAE}, clock)
    time.start("g0")
    clock.now += 10
    time.end("g0", measured=True)
    assert time.left() == Remaining(pytest.approx(10), pytest.approx(10), 1)
    time.start("g1")
    clock.now += 2
    time.end("g1", measured=False)  # it failed early, which says nothing about others
    time.start("v0")
    clock.now += 3
    time.train("v0", 1.0)
    assert time.left().low == pytest.approx(1 + 4)
    time.start("v0")  # tried again after its job was lost
    assert (time.finished, time.total) == (2, 4)
    clock.now += 4
    time.end("v0", measured=True)
    time.end("v0", measured=True)  # a result that arrives twice
    assert time.left().low == pytest.approx(4)
    time.end("v1", measured=False)  # skipped or lost before it started
    assert time.left() == Remaining(0, 0, 0)
