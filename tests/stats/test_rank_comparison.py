"""Ranks over datasets agree with scipy and scikit-posthocs, and with the tables that Demšar printed."""

from __future__ import annotations

import math
import random

import pytest
import scikit_posthocs
import scipy.stats

from genbench.stats.chi_squared import chi_squared_quantile, chi_squared_tail
from genbench.stats.rank_comparison import compare_ranks, range_quantile, range_tail
from genbench.stats.student_t import f_tail


def test_friedman_and_nemenyi_agree_with_their_peers() -> None:
    draw = random.Random(2)
    values = [[round(draw.gauss(method / 2, 1), 1) for method in range(4)] for _ in range(9)]
    values[3] = [1.0, 1.0, 2.0, 1.0]  # ties
    mine = compare_ranks(values)
    peer = scipy.stats.friedmanchisquare(*zip(*values, strict=True))
    assert mine.chi_squared == pytest.approx(peer.statistic)
    assert mine.p_friedman == pytest.approx(peer.pvalue)
    pairs = scikit_posthocs.posthoc_nemenyi_friedman(values)
    for one in range(4):
        for other in range(4):
            if one != other:
                assert mine.p_nemenyi(one, other) == pytest.approx(pairs.iloc[one, other], abs=1e-6)


def test_critical_differences_are_those_of_the_published_table() -> None:
    """Demšar 2006, table 5a: q_0.05 for 2 to 10 classifiers, which is the quantile of the range over √2."""
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for methods, q in enumerate(published, 2):
        assert range_quantile(0.95, methods) / math.sqrt(2) == pytest.approx(q, abs=1.1e-3)
        assert range_tail(3.3, methods) == pytest.approx(scipy.stats.studentized_range.sf(3.3, methods, 1e6), rel=1e-4)


def test_the_difference_is_significant_where_the_ranks_exceed_the_critical_difference() -> None:
    found = compare_ranks([[1, 2, 3]] * 8)
    assert found.ranks == [1, 2, 3]
    assert found.p_iman_davenport == pytest.approx(1 / 6**7)  # seven times the order of the first
    for one, other in ((0, 1), (0, 2)):
        beyond = abs(found.ranks[one] - found.ranks[other]) > found.critical_difference
        assert (found.p_nemenyi(one, other) < 0.05) == beyond
    ties = compare_ranks([[1, 1], [2, 2]])
    assert (ties.chi_squared, ties.p_friedman, ties.p_iman_davenport) == (0.0, 1.0, 1.0)


def test_distributions_agree_with_scipy() -> None:
    for degrees in (1, 2, 5.5, 40, 900):
        for x in (1e-6, 0.3, 1, 4, 30, 800):
            assert chi_squared_tail(x, degrees) == pytest.approx(scipy.stats.chi2.sf(x, degrees), rel=1e-9, abs=1e-300)
            assert f_tail(x, degrees, 7) == pytest.approx(scipy.stats.f.sf(x, degrees, 7), rel=1e-9)
        for probability in (1e-4, 0.025, 0.5, 0.975):
            peer = scipy.stats.chi2.ppf(probability, degrees)
            assert chi_squared_quantile(probability, degrees) == pytest.approx(peer, rel=1e-9)
    assert (chi_squared_tail(-1, 3), chi_squared_tail(math.inf, 3), f_tail(0, 1, 1)) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("values", [[], [[1, 2]], [[1], [2]], [[1, 2], [1]], [[1, math.nan], [1, 2]]])
def test_bad_input_is_rejected(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="ranks need"):
        compare_ranks(values)


def test_no_distribution_without_degrees_of_freedom() -> None:
    for call in (lambda: chi_squared_tail(1, 0), lambda: chi_squared_quantile(1.0, 3), lambda: f_tail(1, 0, 1)):
        with pytest.raises(ValueError, match=r"no tail|a quantile"):
            call()
