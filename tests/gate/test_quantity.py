"""The choice of the quantity that decides, from windows of the same code."""

from __future__ import annotations

import math
import random

import pytest

from genbench.gate.quantity import LARGEST_SPREAD, NAMES, choose, in_words, log_ratio, spreads, values
from genbench.results.comparison import Quantity, WindowRecord

ORDER = "ABBABAAB" * 2


def windows(seed: int = 0, order: str = ORDER, **spread: float) -> WindowRecord:
    """Return windows of the same code that differ by these spreads, by quantity."""
    draws = random.Random(seed)
    series = {name: [math.exp(draws.gauss(0, share)) for _ in order] for name, share in spread.items()}
    return WindowRecord(
        steps=1,
        order=order,
        seconds=series.get("wall", [1.0] * len(order)),
        log_ratio=0.0,
        processor_seconds=series.get("processor", []),
        instructions=series.get("instructions", []),
    )


@pytest.mark.parametrize(
    ("spread", "chosen"),
    [
        ({"wall": 0.03, "processor": 0.001, "instructions": 0.0001}, "wall"),  # good enough: users wait for wall time
        ({"wall": 0.4, "processor": 0.03, "instructions": 0.0001}, "processor"),
        ({"wall": 0.4, "processor": 0.2, "instructions": 0.0001}, "instructions"),
        ({"wall": 0.4, "processor": 0.2}, "processor"),
        ({"wall": 0.4, "processor": 0.3}, "wall"),  # hardly better, and less to the point
        ({"wall": 0.4, "instructions": 0.01}, "instructions"),
        ({"wall": 0.4}, "wall"),
        ({}, "wall"),
    ],
)
def test_wall_time_decides_unless_it_is_noise_and_another_quantity_is_not(
    spread: dict[Quantity, float], chosen: Quantity
) -> None:
    assert choose(spread) == chosen
    assert all(NAMES[quantity] in in_words(spread) for quantity in spread)


def test_the_spread_by_each_quantity_is_that_of_pairs_of_windows() -> None:
    found = spreads([windows(seed, wall=0.2, processor=0.02) for seed in range(200)])
    assert found == {"wall": pytest.approx(0.2 * math.sqrt(2), rel=0.1), "processor": pytest.approx(0.0283, rel=0.1)}


def test_a_pilot_of_eight_pairs_tells_a_busy_machine_from_a_quiet_one() -> None:
    busy = [choose(spreads([windows(seed, wall=0.3, processor=0.02)])) for seed in range(200)]
    quiet = [choose(spreads([windows(seed, wall=0.02, processor=0.01)])) for seed in range(200)]
    assert busy.count("processor") > 190
    assert set(quiet) == {"wall"}
    assert 0.02 * math.sqrt(2) < LARGEST_SPREAD < 0.3


def test_a_quantity_that_was_not_measured_has_no_ratio() -> None:
    old = windows(wall=0.1)
    assert values(old, "processor") == []
    assert math.isnan(log_ratio(old, "processor"))
    assert math.isfinite(log_ratio(old, "wall"))
