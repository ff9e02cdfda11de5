"""The headline result: which windows count, and what is derived from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.measure.throughput import WINDOW_SECONDS, throughput
from genbench.results.schema import Window


def window(seconds: float, steps: int = 10, warmup: bool = False) -> Window:
    return Window(step=steps, steps=steps, images=32 * steps, seconds=seconds, warmup=warmup)


def test_throughput_is_images_per_second_of_the_median_window() -> None:
    found = throughput([window(1.0), window(2.0), window(4.0)])
    assert found is not None
    assert (found.images_per_second, found.steps_per_second) == (160.0, 5.0)
    assert (found.low, found.high) == (80.0, 320.0)
    assert found.windows == 3
    assert found.confidence == pytest.approx(0.75)  # 1 - 2·(1/2)^3: three windows cannot reach 95 %


def test_warm_up_does_not_count() -> None:
    slow_start = [window(100.0, warmup=True), window(1.0), window(1.0)]
    assert throughput(slow_start) == throughput(slow_start[1:])


def test_nothing_timed_gives_no_number() -> None:
    assert throughput([]) is None
    assert throughput([window(1.0, warmup=True)]) is None


def test_a_short_last_window_is_left_out() -> None:
    whole = [window(1.0)] * 5
    assert throughput([*whole, window(0.9, steps=4)]) == throughput(whole)
    longer = throughput([*whole, window(0.9, steps=5)])
    assert longer is not None
    assert longer.windows == 6


def test_a_window_cut_short_by_the_time_limit_counts() -> None:
    """A machine that becomes four times slower ends its windows early; dropping them would hide the slowdown."""
    fast, slow = [window(2.0)] * 2, [window(WINDOW_SECONDS, steps=4)] * 5
    found = throughput([*fast, *slow])
    assert found is not None
    assert found.windows == 7
    assert found.images_per_second == 4 * 32 / WINDOW_SECONDS


@given(st.lists(st.floats(0.01, 4.0), min_size=1, max_size=30), st.floats(1.5, 100.0))
def test_a_machine_twice_as_fast_has_twice_the_number(seconds: list[float], factor: float) -> None:
    one, other = throughput([window(s) for s in seconds]), throughput([window(s / factor) for s in seconds])
    assert one is not None
    assert other is not None
    for field in ("images_per_second", "low", "high", "steps_per_second"):
        assert getattr(other, field) == pytest.approx(factor * getattr(one, field))
    assert one.low <= one.images_per_second <= one.high
