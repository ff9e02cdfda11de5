"""Kinds of steps: phases that do not run in every step make several, which differ in the phases that are due."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

_MAX_PERIOD = 10**6  # steps


def step_kinds(intervals: Iterable[int]) -> dict[int, Fraction]:
    """Return each kind of step, as the number of the first step of that kind, and its share of all steps.

    Two steps are of the same kind if the same phases are due; `intervals` are the phases' `every`. The kinds come in
    the order of their first steps. Raises ValueError if the pattern repeats only after more than a million steps.
    """
    lazy = sorted({interval for interval in intervals if interval > 1})
    period = math.lcm(*lazy)
    if period > _MAX_PERIOD:
        raise ValueError(f"phases with the intervals {', '.join(map(str, lazy))} coincide only every {period:,} steps")
    kinds = [tuple(number % interval == 0 for interval in lazy) for number in range(period)]
    return {kinds.index(kind): Fraction(times, period) for kind, times in Counter(kinds).items()}
