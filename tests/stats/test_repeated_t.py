"""Repeated t tests: no more false alarms than stated, against simulation and against a numerical integral."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from genbench.stats.repeated_t import false_alarms, repeated_level


def simulated(level: float, first: int, last: int, repetitions: int = 200_000) -> float:
    draw = np.random.default_rng(3)
    total, squares = np.zeros(repetitions), np.zeros(repetitions)
    alarms = np.zeros(repetitions, dtype=bool)
    for n in range(1, last + 1):
        values = draw.standard_normal(repetitions)
        total += values
        squares += values**2
        if n >= first:
            spread = np.sqrt((squares - total**2 / n) / (n - 1))
            alarms |= total / math.sqrt(n) / spread >= stats.t.isf(level, n - 1)
    return float(alarms.mean())


@pytest.mark.parametrize(("error", "last"), [(0.05, 5), (0.05, 20), (0.01, 10)])
def test_false_alarms_are_as_frequent_as_stated_or_less(error: float, last: int) -> None:
    level = repeated_level(error, 3, last)
    found = simulated(level, 3, last)
    noise = math.sqrt(error / 200_000)
    assert 0.7 * error < found < error + 4 * noise
    assert level > 1.2 * error / (last - 2)  # more than equal parts that are added up


def test_two_tests_have_the_probability_of_a_double_integral() -> None:
    level, n = 0.01, 4
    first, second = stats.t.isf(level, n - 1), stats.t.isf(level, n)

    def missed(theta: float) -> float:
        """Return P(t' >= second) x density, where r = sin(theta) is not rejected; r and v by their own densities."""
        r = math.sin(theta)
        density = stats.t.pdf(r * math.sqrt(n - 1) / math.cos(theta), n - 1) * math.sqrt(n - 1) / math.cos(theta) ** 2
        grid = stats.t.ppf(np.linspace(1e-6, 1 - 1e-6, 20_001), n) / math.sqrt(n)
        after = (r * math.sqrt(n) + grid) / np.sqrt((n + 1) * (1 + grid**2))
        return float(density * np.mean(after * math.sqrt(n) / np.sqrt(1 - after**2) >= second))

    end = math.asin(first / math.sqrt(n - 1 + first**2))
    only_second, _ = integrate.quad(missed, -math.pi / 2 + 1e-9, end, limit=60, epsrel=1e-3)
    assert false_alarms(level, n, n + 1) == pytest.approx(level + only_second, rel=0.02)


def test_one_test_needs_no_correction_and_more_tests_need_smaller_values() -> None:
    assert repeated_level(0.05, 3, 3) == pytest.approx(0.05, rel=0.02)
    levels = [repeated_level(0.01, 3, last) for last in (3, 4, 8, 20, 60)]
    assert levels == sorted(levels, reverse=True) and len(set(levels)) == 5


@pytest.mark.parametrize("error", [1e-6, 1e-4, 0.01, 0.1])
@pytest.mark.parametrize("last", [4, 12, 50])
def test_the_level_is_within_its_bound_and_wastes_little(error: float, last: int) -> None:
    assert 0.95 * error < false_alarms(repeated_level(error, 3, last), 3, last) <= error


@pytest.mark.parametrize(("error", "first", "last"), [(0, 3, 5), (0.2, 3, 5), (0.05, 1, 5), (0.05, 5, 4)])
def test_impossible_tests_are_refused(error: float, first: int, last: int) -> None:
    with pytest.raises(ValueError, match="repeated tests"):
        repeated_level(error, first, last)
