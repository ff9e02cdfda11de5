"""From which interval on a speed is no result."""

from __future__ import annotations

import pytest

from genbench.gate.speed_interval import explanation, uncertainty
from genbench.results.schema import Throughput


@pytest.mark.parametrize(
    ("value", "low", "high", "interval"),
    [
        (100.0, 98.0, 101.0, ""),
        (100.0, 1.0, 200.0, ""),
        (100.0, 90.0, 201.0, "±101 %"),
        (18.0, 9.0, 61.56, "±242 %"),
        (0.0, 0.0, 5.0, ""),
    ],
)
def test_a_speed_is_no_result_if_its_interval_is_wider_than_itself(
    value: float, low: float, high: float, interval: str
) -> None:
    speed = Throughput(
        images_per_second=value, low=low, high=high, confidence=0.9, windows=3, steps_per_second=value / 32
    )
    assert uncertainty(speed) == interval


def test_the_explanation_states_interval_limit_and_remedy() -> None:
    text = explanation("±242 %")
    assert "±242 %" in text
    assert "±100 %" in text
    assert "idle machine" in text
