"""Mean and deviation are those of `statistics`, to the last bit."""

from __future__ import annotations

import random
import statistics

import pytest

from genbench.stats.exact_sums import exact_sums


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e140, 1e-150])
def test_they_equal_those_of_statistics_bit_for_bit(scale: float) -> None:
    draw = random.Random(0)
    for _ in range(2000):
        center, spread = draw.choice([(0.0, 1.0), (5.0, 1e-9), (1e6, 1e-3)])
        samples = [scale * draw.gauss(center, spread) for _ in range(draw.randint(2, 7))]
        found = exact_sums(samples)
        assert found.mean == statistics.mean(samples)
        assert found.variance == statistics.variance(samples)
        assert found.standard_deviation == statistics.stdev(samples)


def test_equal_samples_have_no_deviation_at_all() -> None:
    assert exact_sums([0.1] * 3) == (0.1, 0, exact_sums([0.1] * 3).denominator)
    assert exact_sums([0.1] * 3).standard_deviation == 0
