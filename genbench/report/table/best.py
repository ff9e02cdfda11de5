"""Which values of a column are better than others beyond their errors: ranks, and the best value.

Only comparable values of the same dataset are ranked together. Two values are separated if their difference exceeds two
standard errors of it, or the quantile of Student's t for the same probability (Welch's test) where the errors come from
a few seeds. A value over one seed is compared by the error of its measurement, which says nothing about training again.

Ranks are those of significance groups: values that are not separated share a group, and a value can be in several, as
in a compact letter display (Piepho 2004, "An algorithm for a letter-based representation of all-pairwise
comparisons"). If A and B are not separated, nor B and C, but A and C are, then A has rank 1, B 1 to 2, and C 2.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from genbench.gate.reference_scale import SIGNIFICANT
from genbench.report.table.comparability import dataset_key, group_key
from genbench.report.table.layout import Column, Footnotes, Row
from genbench.report.table.outcome import COUNTING
from genbench.stats.student_t import t_quantile
from genbench.stats.welch import Difference, Level, difference, level

OVER_SEEDS = "better than every other comparable value of its column, by more than the error over seeds"
ONE_SEED = (
    "better than every other comparable value of its column, by more than the error of the measurement; over one seed "
    "only, so another seed may change the order"
)
_ERROR = 1 - statistics.NormalDist().cdf(SIGNIFICANT)  # probability of a false separation in one direction
_LEAST_CONFIDENCE = 0.9  # of an interval over windows: with fewer than five, the error is unknown


@dataclass(frozen=True)
class Rank:
    """The place of a value among the comparable ones of its column."""

    first: int  # the first significance group that the value belongs to, from 1
    last: int  # the last one; values that share a group are not separated by their errors
    best: bool  # better than every other comparable value, beyond the errors
    seeds: int  # over which the value was measured
    over_seeds: bool  # every value that it was compared with, and itself, is a mean over two or more seeds
    compared: int  # comparable values, this one included

    @property
    def best_over_seeds(self) -> bool:
        """Whether the value is the best, and the errors over seeds say so."""
        return self.best and self.over_seeds

    @property
    def text(self) -> str:
        """The rank for a reader: ``1``, or ``1–2`` for a value that is in two groups."""
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def ranks(rows: Sequence[Row], column: Column) -> list[Rank | None]:
    """Return the rank of each row in a column, in the order of the rows.

    A row has no rank if it has no finite value, if no cell of it ended as ok or collapsed, if it is a reference row, or
    if the error of its value is unknown. A value of unknown error keeps the comparable ones from being called best.
    Columns without a direction, and those derived from evaluations during training, have no ranks. Values over one seed
    are ranked too: whoever needs a verdict over seeds, such as the board, passes only rows with several.
    """
    found: list[Rank | None] = [None] * len(rows)
    for members in comparable_rows(rows, column).values():
        levels = _levels(rows, column, members)
        seeds = {place: max(1, len(rows[place].values[column.key].seeds)) for place in levels}
        over_seeds = _are_over_seeds(rows, column, members)
        ordered = sorted(levels, key=lambda place: levels[place].value)
        groups = significance_groups([levels[place] for place in ordered])
        alone = len(ordered) == len(members) > 1 and groups[0][1] == groups[0][0]
        ends = [last for _, last in groups]
        starts = [first for first, _ in groups]
        for order, place in enumerate(ordered):
            found[place] = Rank(
                first=bisect.bisect_left(ends, order) + 1,
                last=bisect.bisect_right(starts, order),
                best=alone and order == 0,
                seeds=seeds[place],
                over_seeds=over_seeds,
                compared=len(members),
            )
    return found


def mark_best(rows: Sequence[Row], columns: Iterable[Column], notes: Footnotes) -> tuple[list[Row], str]:
    """Mark the best comparable values of each column; also return what that means, empty if there are none.

    Where some are the best over seeds and others over one seed, a footnote marks the latter.
    """
    best: dict[int, dict[str, bool]] = {}  # by place and column: is it the best over seeds?
    for column in columns:
        for members in comparable_rows(rows, column).values():
            place = _best_place(rows, column, members)
            if place is not None:
                best.setdefault(place, {})[column.key] = _are_over_seeds(rows, column, members)
    kinds = {over_seeds for found in best.values() for over_seeds in found.values()}
    single = (notes.mark(ONE_SEED),) if len(kinds) == 2 else ()
    marked = list(rows)
    for place, found in best.items():
        values = {key: (rows[place].values[key], over_seeds) for key, over_seeds in found.items()}
        marked[place] = rows[place].updated(
            {
                key: replace(value, best=True, marks=(*value.marks, *(() if over_seeds else single)))
                for key, (value, over_seeds) in values.items()
            }
        )
    return marked, OVER_SEEDS if True in kinds else ONE_SEED if kinds else ""


def _best_place(rows: Sequence[Row], column: Column, members: Sequence[int]) -> int | None:
    """Return the place of the value that `ranks` calls the best of these comparable ones, without all ranks."""
    levels = _levels(rows, column, members)
    if not len(levels) == len(members) > 1:
        return None
    best = min(members, key=lambda place: levels[place].value)
    others = (levels[place] for place in members if place != best)
    return best if all(separated(levels[best], other) for other in others) else None


def _levels(rows: Sequence[Row], column: Column, members: Iterable[int]) -> dict[int, Level]:
    """Return the values of known error by place, so that lower ones are better."""
    found = {place: known for place in members if (known := _level(rows[place], column)) is not None}
    if column.direction == "lower":
        return found
    return {place: Level(-one.value, one.standard_error, one.degrees) for place, one in found.items()}


def _are_over_seeds(rows: Sequence[Row], column: Column, members: Iterable[int]) -> bool:
    return all(len(rows[place].values[column.key].seeds) > 1 for place in members)


def significance_groups(ordered: Sequence[Level]) -> list[tuple[int, int]]:
    """Return the first and last place of each group of values that ascend; groups overlap, none contains another.

    Any two values that are not separated are in a common group, and so are those between them.
    """
    reach = max((_quantile(one.degrees) for one in ordered), default=0.0)
    # least[n]: no value from n on can fail to be separated from one whose value and reach end below it
    least = [0.0] * len(ordered)
    smallest = math.inf
    for place in range(len(ordered) - 1, -1, -1):
        smallest = min(smallest, ordered[place].value - reach * ordered[place].standard_error)
        least[place] = smallest
    squares = [one.standard_error**2 for one in ordered]
    groups: list[tuple[int, int]] = []
    end = -1
    for place, one in enumerate(ordered):
        last = max(place, bisect.bisect_right(least, one.value + reach * one.standard_error) - 1)
        while last > max(place, end):
            other = ordered[last]
            if (other.value - one.value) ** 2 <= SIGNIFICANT**2 * (squares[place] + squares[last]):
                break  # too close for any degrees of freedom
            if (one.degrees < math.inf or other.degrees < math.inf) and not separated(one, other):
                break
            last -= 1
        if last > end:
            groups.append((place, last))
            end = last
    return groups


def separated(one: Level, other: Level) -> bool:
    """Say whether two values differ by more than the error of their difference."""
    between = difference(one, other)
    distance, error, degrees = abs(between.mean), between.standard_error, between.degrees
    if math.isinf(degrees):
        return distance > SIGNIFICANT * error
    # Quantiles fall with the degrees of freedom: those of the whole numbers around them decide nearly all pairs.
    if distance <= _quantile(math.ceil(degrees)) * error:
        return False
    if distance > _quantile(max(1, math.floor(degrees))) * error:
        return True
    return Difference(distance, error, degrees).p_value(0.0) < _ERROR


def comparable_rows(rows: Sequence[Row], column: Column) -> dict[tuple[object, ...], list[int]]:
    """Return the places of rows with a finite value, by what makes their values comparable."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows) if column.direction is not None else ():
        value = row.values.get(column.key)
        if value is None or not isinstance(value.raw, int | float) or not math.isfinite(value.raw):
            continue
        for cell in row.cells:  # all that have the number are comparable with each other
            key = group_key(cell, column.key) if cell.status in COUNTING else None
            if key is not None:
                groups.setdefault((dataset_key(cell.planned.identity), *key), []).append(place)
                break
    return groups


def _level(row: Row, column: Column) -> Level | None:
    """Return a value with its error; None if the error is unknown."""
    value = row.values[column.key]
    if len(value.seeds) > 1:
        return level(value.seeds)
    assert isinstance(value.raw, int | float)  # `_comparable` has made sure
    error = value.parts.get("standard_error")
    if error is None and column.key == "images/s":
        error = _speed_error(row, value.raw)
    return Level(float(value.raw), error) if error is not None and 0 < error < math.inf else None


def _speed_error(row: Row, speed: float) -> float | None:
    """Return half of the larger half of the interval over the windows of one cell, which covers the median with 95 %.

    None: the interval is of too few windows.
    """
    measured = [result.throughput for result in row.results if result.throughput is not None]
    own = next((one for one in measured if one.images_per_second == speed), None)
    if own is None or own.confidence < _LEAST_CONFIDENCE:
        return None
    return max(own.high - speed, speed - own.low) / SIGNIFICANT


@cache
def _quantile(degrees: float) -> float:
    """Return the number of standard errors beyond which a difference counts, at the level of `SIGNIFICANT` of them."""
    return float(SIGNIFICANT) if math.isinf(degrees) else t_quantile(1 - _ERROR, degrees)
