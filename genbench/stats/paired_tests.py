"""Three tests of one question: is the mean, or the centre, of paired differences zero?

Student's t assumes that the mean difference is roughly normal and gives an interval. The sign-flip test assumes only
that a difference and its negative are equally likely if nothing differs; it is exact, but n pairs give no p-value below
2 / 2ⁿ. Wilcoxon's signed-rank test has the same assumption and the same bound, and is less sensitive to one wild pair.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence

from genbench.stats.welch import Difference, level

_EXACT_PAIRS = 24  # up to this many, the sign-flip test counts all assignments of signs
_DRAWS = 20_000  # of signs, for more pairs
_ROUNDING = 1e-12  # relative: sums that are equal but for rounding are equal


def paired_t(differences: Sequence[float]) -> Difference:
    """Return the mean of paired differences with its error, s / √n, and n - 1 degrees of freedom.

    Raises ValueError for fewer than two differences, or one that is not finite.
    """
    mean = level(differences)
    return Difference(mean.value, mean.standard_error, mean.degrees)


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the sign-flip permutation test of the mean (Fisher 1935).

    It is the share of all 2ⁿ assignments of signs with at least this absolute mean: exact for up to 24 pairs, and an
    upper estimate from 20,000 assignments drawn with a fixed seed for more, (1 + hits) / (1 + draws). Raises ValueError
    without differences or with one that is not finite.
    """
    _check(differences)
    sizes = [abs(difference) for difference in differences]
    reached = abs(math.fsum(differences)) - _ROUNDING * math.fsum(sizes)
    if len(sizes) > _EXACT_PAIRS:
        draw = random.Random(0)
        hits = sum(abs(sum(s if draw.random() < 0.5 else -s for s in sizes)) >= reached for _ in range(_DRAWS))
        return (1 + hits) / (1 + _DRAWS)
    if reached <= 0:
        return 1.0
    half = len(sizes) // 2
    left, right = _signed_sums(sizes[:half]), sorted(_signed_sums(sizes[half:]))
    above = sum(len(right) - bisect.bisect_left(right, reached - one) for one in left)
    return min(1.0, 2 * above / (1 << len(sizes)))


def wilcoxon(differences: Sequence[float]) -> float:
    """Return the exact two-sided p-value of the signed-rank test (Wilcoxon 1945); 1 if all differences are 0.

    Differences of 0 are left out, as Wilcoxon did; equal sizes share the mean of their ranks. Raises ValueError without
    differences or with one that is not finite.
    """
    _check(differences)
    moved = [difference for difference in differences if difference != 0]
    doubled = [round(2 * rank) for rank in average_ranks([abs(difference) for difference in moved])]
    positive: int = sum(rank for rank, difference in zip(doubled, moved, strict=True) if difference > 0)
    ways = [1]  # ways[w]: how many assignments of signs have the doubled sum of positive ranks w
    for rank in doubled:
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    extreme = min(sum(ways[: positive + 1]), sum(ways[positive:]))
    return min(1.0, 2 * extreme / (1 << len(moved)))


def average_ranks(values: Sequence[float]) -> list[float]:
    """Return the ranks from 1, the smallest value first; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [(bisect.bisect_left(ordered, value) + bisect.bisect_right(ordered, value) + 1) / 2 for value in values]


def _signed_sums(sizes: Sequence[float]) -> list[float]:
    sums = [0.0]
    for size in sizes:
        sums = [total + sign * size for total in sums for sign in (1, -1)]
    return sums


def _check(differences: Sequence[float]) -> None:
    if not differences or not all(math.isfinite(difference) for difference in differences):
        raise ValueError("a test needs at least one difference, all of them finite")
