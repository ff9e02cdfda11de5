"""Is the difference between two samples real? Paired where both have the same seeds, by Welch's test otherwise.

The rule looks at the seeds alone: choosing between tests by their results would raise the rate of false alarms.
Pairing is valid whether or not equal seeds make values alike. It gains power if they do, and costs degrees of freedom
if they do not.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from genbench.stats.paired_tests import paired_t, sign_flip, wilcoxon
from genbench.stats.welch import Difference, welch

Seed = TypeVar("Seed", bound=Hashable)
Method = Literal["paired t", "Welch"]


@dataclass(frozen=True)
class Comparison:
    """The difference of two means over seeds."""

    method: Method
    difference: Difference  # head minus base
    counts: tuple[int, int]  # seeds of base and head
    differences: tuple[float, ...] = ()  # head minus base of each seed; empty: not paired

    @cached_property
    def sign_flip(self) -> float | None:
        """The two-sided p-value of the sign-flip test beside the paired t; None: not paired."""
        return sign_flip(self.differences) if self.differences else None

    @cached_property
    def wilcoxon(self) -> float | None:
        """The two-sided p-value of Wilcoxon's test beside the paired t; None: not paired."""
        return wilcoxon(self.differences) if self.differences else None

    @property
    def seeds(self) -> int:
        """The pairs, or the seeds of the side with fewer."""
        return min(self.counts)

    @property
    def p_value(self) -> float:
        """The two-sided p-value of no difference.

        If no value varies on either side, t is infinite and says nothing; the p-value is then that of a permutation
        test, 2 / C(n + m, n), which three seeds on each side cannot bring below 0.1.
        """
        if self.difference.standard_error == 0 and self.difference.mean != 0:
            return min(1.0, 2 / math.comb(sum(self.counts), self.counts[0]))
        return self.difference.two_sided

    @property
    def description(self) -> str:
        """The test in words: ``paired t over 5 seeds``."""
        return f"paired t over {self.seeds} seeds" if self.method == "paired t" else "Welch's t"


def compare_seeds(base: Mapping[Seed, float], head: Mapping[Seed, float]) -> Comparison:
    """Compare two samples of one value per seed, at least two on each side.

    They are paired if both have exactly the same seeds. Differences that are all equal, but not 0, have no error to
    divide by, which happens with a few seeds of a quantity that is a count: Welch's test is used then. Raises
    ValueError for fewer than two values, or one that is not finite.
    """
    counts = len(base), len(head)
    if base.keys() == head.keys():
        differences = [head[seed] - base[seed] for seed in base]
        found = paired_t(differences)
        if found.standard_error > 0 or found.mean == 0:
            return Comparison("paired t", found, counts, tuple(differences))
    return Comparison("Welch", welch([*base.values()], [*head.values()]), counts)
