"""Student's t compared with tables, closed forms and scipy."""

from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.student_t import t_quantile, t_tail


@pytest.mark.parametrize(
    ("probability", "degrees", "published"),
    [(0.975, 1, 12.706), (0.975, 10, 2.228), (0.95, 4, 2.132), (0.995, 30, 2.750), (0.9995, 5, 6.869)],
)
def test_quantiles_agree_with_published_tables(probability: float, degrees: int, published: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(published, abs=5e-4)


def test_one_degree_of_freedom_is_the_cauchy_distribution() -> None:
    for t in (0.0, 0.3, 1.0, 7.0, 1e6):
        assert t_tail(t, 1) == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-9, abs=1e-15)


@given(st.floats(-60, 60), st.floats(0.5, 1e5))
def test_tails_agree_with_scipy(t: float, degrees: float) -> None:
    assert t_tail(t, degrees) == pytest.approx(float(scipy.stats.t.sf(t, degrees)), rel=1e-8, abs=1e-300)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1, 1e4))
def test_the_quantile_is_the_inverse_of_the_tail(probability: float, degrees: float) -> None:
    assert t_tail(t_quantile(probability, degrees), degrees) == pytest.approx(1 - probability, rel=1e-6)


@pytest.mark.parametrize(("t", "degrees"), [(math.nan, 3), (1.0, 0), (1.0, -2), (1.0, math.nan)])
def test_invalid_arguments_of_the_tail_are_rejected(t: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="Student"):
        t_tail(t, degrees)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_invalid_probabilities_are_rejected(probability: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        t_quantile(probability, 3)
