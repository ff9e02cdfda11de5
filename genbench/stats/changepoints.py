"""Where a series of runs changed its level: annotation for readers, never a gate.

A series is cut into pieces of a constant level each, so that the absolute distances to the levels, and a penalty for
each cut, are least in sum: the Potts functional with L1 data (Friedrich, Kempe, Liebscher & Winkler 2008, "Complexity
penalized M-estimation: fast computation"), solved exactly by dynamic programming. The median as level lets a single
disturbed run pass without a cut. How many cuts there are is decided by Schwarz' criterion (Yao 1988, "Estimating the
number of change-points via Schwarz' criterion") for Laplacian errors, of which the scale is estimated as well. Its
penalty is right for long series; these are short, and it counts twice: of series of 6 to 20 values in which nothing
changed it then cuts 1 to 9 of 100, instead of 23 to 38, and a change by three standard deviations is found 87 to 99
times of 100 (tests/stats/test_changepoints.py).

The ends of a series are uncertain, for a piece has `LEAST` runs at least: what changed with the last run or two shows
later.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 3  # values in a piece
RESOLUTION = 0.005  # errors smaller than this, on the scale of the values, are taken to be this large
PENALTY = 4.0  # of a cut, in units of log n: twice that of the two numbers, place and level, that it has
MOST = 500  # values that are looked at: the latest


@dataclass(frozen=True)
class Piece:
    """Values from `start` to before `stop`, and their level."""

    start: int
    stop: int
    level: float


def pieces(values: Sequence[float], resolution: float = RESOLUTION) -> list[Piece]:
    """Return the pieces of a series, in order; one where nothing changed, none of no values.

    Of more than `MOST` values the earlier ones belong to the first piece. `resolution` is the least mean absolute error
    that the criterion believes in. Raises ValueError for a value that is not finite.
    """
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a series has finite values only")
    if not values:
        return []
    begin = max(0, len(values) - MOST)
    looked_at = values[begin:]
    number = len(looked_at)
    costs = _costs(looked_at)
    # best[k][stop]: the least cost of the first `stop` values in k + 1 pieces, and where the last piece starts.
    best = [{stop: (costs[0][stop], 0) for stop in range(LEAST, number + 1)}]
    whole = costs[0].get(number, 0.0) if number >= LEAST else 0.0
    chosen, least = 0, _criterion(whole, number, 0, resolution)
    for cuts in range(1, number // LEAST):
        before = best[-1]
        row: dict[int, tuple[float, int]] = {}
        for stop in range((cuts + 1) * LEAST, number + 1):
            row[stop] = min((before[cut][0] + costs[cut][stop], cut) for cut in range(cuts * LEAST, stop - LEAST + 1))
        best.append(row)
        found = _criterion(row[number][0], number, cuts, resolution)
        if found < least:
            chosen, least = cuts, found
        if _criterion(0.0, number, cuts + 1, resolution) >= least:
            break  # not even without any error would more cuts be worth it
    bounds = [number]
    for cuts in range(chosen, 0, -1):
        bounds.append(best[cuts][bounds[-1]][1])
    starts = [0, *(begin + cut for cut in reversed(bounds[1:]))]
    stops = [*starts[1:], len(values)]
    return [
        Piece(start, stop, statistics.median(values[start:stop])) for start, stop in zip(starts, stops, strict=True)
    ]


def _criterion(distance: float, number: int, cuts: int, resolution: float) -> float:
    """Return minus twice the log likelihood of Laplacian errors, but for constants, and the penalty of the cuts."""
    scale = max(distance / number, resolution)
    return 2 * number * math.log(scale) + PENALTY * cuts * math.log(number)


def _costs(values: Sequence[float]) -> list[dict[int, float]]:
    """Return the sum of distances to the median of each stretch that may be a piece, by its start and its stop."""
    found: list[dict[int, float]] = []
    for start in range(len(values)):
        low: list[float] = []  # the smaller half, and in the middle the median; both sorted
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
            if stop - start >= LEAST:
                own[stop] = max(0.0, sum_high - sum_low + low[-1] * (len(low) - len(high)))
        found.append(own)
    return found
