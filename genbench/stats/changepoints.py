"""Change points of a time series: annotations for readers, never a gate.

A series is cut into segments of constant level such that the sum of the absolute distances to the levels and a penalty
per cut is minimal: the Potts functional with L1 data (Friedrich, Kempe, Liebscher & Winkler 2008, "Complexity
penalized M-estimation: fast computation"), solved exactly by dynamic programming. With the median as level, a single
disturbed run causes no cut. The number of cuts is chosen by Schwarz' criterion (Yao 1988, "Estimating the
number of change-points via Schwarz' criterion") for Laplacian errors of estimated scale. Its
penalty suits long series; these are short, so it is doubled: of 100 series of 6 to 20 values without a change, 1 to 9
are then cut instead of 23 to 38, and a change of three standard deviations is found 87 to 99 times in 100
(tests/stats/test_changepoints.py).

The ends of a series are uncertain, because a segment has at least `MIN_SEGMENT` runs: a change in the last run or two
is found later.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MIN_SEGMENT = 3  # values in a segment, at least
RESOLUTION = 0.005  # the smallest scale of errors assumed, in units of the values
PENALTY = 4.0  # per cut, in units of log n: twice that of its two parameters, place and level
MAX_VALUES = 500  # values analysed: the latest


@dataclass(frozen=True)
class Segment:
    """The values from `start` up to, but not including, `stop`, and their level."""

    start: int
    stop: int
    level: float


def segments(values: Sequence[float], resolution: float = RESOLUTION, most: int = MAX_VALUES) -> list[Segment]:
    """Return the segments of a series in order: one if nothing changed, none without values.

    Values before the latest `most` belong to the first segment. `resolution` is the smallest mean absolute error
    that the criterion assumes. Raises ValueError for a value that is not finite.
    """
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a series must have finite values only")
    if not values:
        return []
    begin = max(0, len(values) - most)
    analysed = values[begin:]
    number = len(analysed)
    costs = _costs(analysed)
    # best[k][stop]: the least cost of the first `stop` values in k + 1 pieces, and where the last piece starts.
    best = [{stop: (costs[0][stop], 0) for stop in range(MIN_SEGMENT, number + 1)}]
    whole = costs[0].get(number, 0.0) if number >= MIN_SEGMENT else 0.0
    chosen, least = 0, _criterion(whole, number, 0, resolution)
    for cuts in range(1, number // MIN_SEGMENT):
        before = best[-1]
        row: dict[int, tuple[float, int]] = {}
        for stop in range((cuts + 1) * MIN_SEGMENT, number + 1):
            row[stop] = min(
                (before[cut][0] + costs[cut][stop], cut) for cut in range(cuts * MIN_SEGMENT, stop - MIN_SEGMENT + 1)
            )
        best.append(row)
        found = _criterion(row[number][0], number, cuts, resolution)
        if found < least:
            chosen, least = cuts, found
        if _criterion(0.0, number, cuts + 1, resolution) >= least:
            break  # even with zero error, more cuts would not pay off
    bounds = [number]
    for cuts in range(chosen, 0, -1):
        bounds.append(best[cuts][bounds[-1]][1])
    starts = [0, *(begin + cut for cut in reversed(bounds[1:]))]
    stops = [*starts[1:], len(values)]
    return [
        Segment(start, stop, statistics.median(values[start:stop])) for start, stop in zip(starts, stops, strict=True)
    ]


def _criterion(distance: float, number: int, cuts: int, resolution: float) -> float:
    """Return minus twice the log-likelihood of Laplacian errors, up to constants, plus the penalty of the cuts."""
    scale = max(distance / number, resolution)
    return 2 * number * math.log(scale) + PENALTY * cuts * math.log(number)


def _costs(values: Sequence[float]) -> list[dict[int, float]]:
    """Return the sum of distances to the median for each possible segment, by its start and its stop."""
    found: list[dict[int, float]] = []
    for start in range(len(values)):
        low: list[float] = []  # the smaller half, including the median; both sorted
        high: list[float] = []
        sum_low = sum_high = 0.0
        own: dict[int, float] = {}
        for stop in range(start + 1, len(values) + 1):
            value = values[stop - 1]
            if not low or value <= low[-1]:
                bisect.insort(low, value)
                sum_low += value
            else:
                bisect.insort(high, value)
                sum_high += value
            if len(low) > len(high) + 1:
                moved = low.pop()
                high.insert(0, moved)
                sum_low, sum_high = sum_low - moved, sum_high + moved
            elif len(high) > len(low):
                moved = high.pop(0)
                low.append(moved)
                sum_low, sum_high = sum_low + moved, sum_high - moved
            if stop - start >= MIN_SEGMENT:
                own[stop] = max(0.0, sum_high - sum_low + low[-1] * (len(low) - len(high)))
        found.append(own)
    return found
