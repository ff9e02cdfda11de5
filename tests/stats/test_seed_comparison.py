"""Tests of a difference agree with scipy, with brute force, and with their own definitions."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.letters import letters
from genbench.stats.paired_tests import average_ranks, paired_t, sign_flip, wilcoxon
from genbench.stats.seed_comparison import compare_seeds
from genbench.stats.welch import welch

WHOLE = st.lists(st.integers(-6, 6), min_size=1, max_size=8)


def test_paired_t_agrees_with_scipy() -> None:
    one, other = [3.1, 2.0, 4.4, 3.3, 5.0], [2.9, 1.1, 4.0, 3.4, 4.2]
    peer = scipy.stats.ttest_rel(one, other)
    mine = paired_t([a - b for a, b in zip(one, other, strict=True)])
    assert mine.two_sided == pytest.approx(peer.pvalue)
    interval = peer.confidence_interval(0.95)
    assert mine.bounds(0.025) == pytest.approx((interval.low, interval.high))


@given(WHOLE)
def test_the_sign_flip_test_counts_all_signs(differences: list[int]) -> None:
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    share = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip([float(d) for d in differences]) == pytest.approx(share)


def test_sign_flip_agrees_with_scipy_and_is_close_to_exact_beyond_its_limit() -> None:
    draw = random.Random(3)
    few = [draw.gauss(0.5, 1) for _ in range(9)]
    peer = scipy.stats.permutation_test((few,), lambda x: x.mean(), permutation_type="samples", n_resamples=10**6)
    assert sign_flip(few) == pytest.approx(peer.pvalue)
    many = [draw.gauss(0.3, 1) for _ in range(40)]
    assert sign_flip(many) == pytest.approx(scipy.stats.ttest_1samp(many, 0).pvalue, abs=0.02)
    assert sign_flip([1e-3 * n for n in (1, 2, -3)]) == 1.0  # a sum of 0 but for rounding


def test_wilcoxon_agrees_with_scipy() -> None:
    draw = random.Random(5)
    for n in (3, 7, 15):
        differences = [draw.gauss(0.4, 1) for _ in range(n)]
        assert wilcoxon(differences) == pytest.approx(scipy.stats.wilcoxon(differences, method="exact").pvalue)


@given(WHOLE)
def test_wilcoxon_with_ties_counts_all_signs(differences: list[int]) -> None:
    moved = [d for d in differences if d]
    ranks = scipy.stats.rankdata([abs(d) for d in moved])
    assert average_ranks([abs(d) for d in moved]) == pytest.approx(list(ranks))
    observed = sum(r for r, d in zip(ranks, moved, strict=True) if d > 0)
    sums = [
        sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=len(moved))
    ]
    tails = (sum(s <= observed for s in sums), sum(s >= observed for s in sums))
    assert wilcoxon(differences) == pytest.approx(min(1.0, 2 * min(tails) / len(sums)))


def test_pairs_are_made_of_equal_seeds_only() -> None:
    base, head = {0: 1.0, 1: 5.0, 2: 9.0}, {2: 9.3, 0: 1.1, 1: 5.2}
    found = compare_seeds(base, head)
    assert (found.method, found.seeds) == ("paired t", 3)
    assert found.difference.mean == pytest.approx(0.2)
    assert found.p_value == pytest.approx(scipy.stats.ttest_1samp([0.1, 0.2, 0.3], 0).pvalue)
    assert found.sign_flip == found.wilcoxon == 0.25
    other = compare_seeds(base, {0: 1.1, 1: 5.2, 3: 9.3})
    assert (other.method, other.difference) == ("Welch", welch([1.0, 5.0, 9.0], [1.1, 5.2, 9.3]))
    assert other.sign_flip is None


def test_two_pairs_with_the_same_difference_prove_nothing() -> None:
    found = compare_seeds({0: 20.0, 1: 24.0}, {0: 21.0, 1: 25.0})
    assert found.method == "Welch"
    assert found.p_value > 0.5
    constant = compare_seeds(dict.fromkeys(range(3), 8.0), dict.fromkeys(range(3), 7.0))
    assert constant.p_value == pytest.approx(2 / 20)
    peer = scipy.stats.permutation_test(
        ([8.0] * 3, [7.0] * 3), lambda x, y: sum(x) - sum(y), permutation_type="independent", n_resamples=10**4
    )
    assert constant.p_value == pytest.approx(peer.pvalue)
    same = compare_seeds({0: 20.0, 1: 24.0}, {0: 20.0, 1: 24.0})
    assert (same.method, same.p_value, same.difference.mean) == ("paired t", 1.0, 0.0)


def test_bad_input_is_rejected() -> None:
    for bad in ([], [math.nan], [1.0, math.inf]):
        for test in (sign_flip, wilcoxon, paired_t):
            with pytest.raises(ValueError, match="finite"):
                test(bad)
    with pytest.raises(ValueError, match="at least two"):
        compare_seeds({0: 1.0}, {0: 2.0})


def test_intervals_cover_as_they_say() -> None:
    """2,000 repetitions: the standard error of a share near 95 % is 0.5 %. The long run: benchmarks/statistics."""
    draw = random.Random(11)
    hits = {"paired t": 0, "Welch": 0}
    for _ in range(2_000):
        shared = [draw.gauss(0, 2) for _ in range(4)]
        base = {n: shared[n] + draw.gauss(0, 1) for n in range(4)}
        for shift in (0, 10):
            head = {n + shift: 0.5 + shared[n] + draw.gauss(0, 1) for n in range(4)}
            if shift:
                head = {seed: 0.5 + draw.gauss(0, math.sqrt(5)) for seed in head}
            found = compare_seeds(base, head)
            low, high = found.difference.bounds(0.025)
            hits[found.method] += low <= 0.5 <= high
    assert {method: count / 2_000 for method, count in hits.items()} == {
        "paired t": pytest.approx(0.95, abs=0.02),
        "Welch": pytest.approx(0.95, abs=0.02),
    }


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_values_share_a_letter_exactly_if_they_do_not_differ(case: tuple[int, set[tuple[int, int]]]) -> None:
    count, pairs = case
    different = {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
    found = letters(count, different)
    assert found is not None
    assert all(found)
    for one, other in itertools.combinations(range(count), 2):
        assert bool(set(found[one]) & set(found[other])) == ((one, other) not in different)


def test_letters_are_those_of_the_example() -> None:
    """A and C differ, B does from neither: the table that every textbook shows."""
    assert letters(3, {(0, 2)}) == ["a", "ab", "b"]
    assert letters(4, {(0, 1), (0, 2), (0, 3)}) == ["a", "b", "b", "b"]
    assert letters(30, set(itertools.combinations(range(30), 2))) is None
    draw = random.Random(0)
    mixed = {pair for pair in itertools.combinations(range(80), 2) if draw.random() < 0.5}
    assert letters(80, mixed) is None  # and says so soon
