"""The quantity that a live comparison decides by: wall time, processor time, or retired instructions.

Wall time is what users wait for. Where other programs keep the processors busy, it tells more about them than about the
code. The quantity is chosen before any window of the other version has been measured, from windows of base against
itself; choosing it afterwards would be another chance of an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from genbench.results.comparison import Quantity
from genbench.stats import alternating

DecideBy: TypeAlias = Literal["auto", "wall", "processor", "instructions"]
QUANTITIES: tuple[Quantity, ...] = ("wall", "processor", "instructions")  # in order of preference
NAMES: Mapping[Quantity, str] = {
    "wall": "wall time",
    "processor": "processor time",
    "instructions": "instructions",
}
INVISIBLE: Mapping[Quantity, str] = {
    "processor": "waiting, locks and lost parallelism do not show in processor time",
    "instructions": "waiting, locks, lost parallelism, cache misses and slower kinds of instructions do not show in "
    "the number of instructions",
}

# The spread of a pair of windows up to which a quantity is good enough. A block is the median of eight pairs: its
# standard deviation is then 4.4 %, and 32 blocks detect 3.5 % of change.
LARGEST_SPREAD = 0.10
SMALLER = 0.7  # share of the preferred quantity's spread up to which another is chosen: half the blocks tell the same


class Windows(Protocol):
    """One cell in one block, as it was measured or as it is stored."""

    @property
    def order(self) -> str: ...  # noqa: D102
    @property
    def seconds(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def processor_seconds(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def instructions(self) -> Sequence[float]: ...  # noqa: D102


def values(windows: Windows, quantity: Quantity) -> Sequence[float]:
    """Return the values of the windows by this quantity; empty if they were not measured."""
    by_quantity = {
        "wall": windows.seconds,
        "processor": windows.processor_seconds,
        "instructions": windows.instructions,
    }
    return by_quantity[quantity]


def log_ratio(windows: Windows, quantity: Quantity) -> float:
    """Return ln(head / base) by this quantity; NaN if it was not measured."""
    found = values(windows, quantity)
    return alternating.log_ratio(windows.order, found) if found else math.nan


def spreads(control: Iterable[Windows]) -> dict[Quantity, float]:
    """Return how much neighbouring windows of the same code differ, by each quantity that was measured."""
    pairs: dict[Quantity, list[float]] = {quantity: [] for quantity in QUANTITIES}
    for windows in control:
        for quantity, found in pairs.items():
            if measured := values(windows, quantity):
                found += alternating.pair_log_ratios(windows.order, measured)
    known = {quantity: alternating.spread(found) for quantity, found in pairs.items()}
    return {quantity: spread for quantity, spread in known.items() if math.isfinite(spread)}


def choose(spread: Mapping[Quantity, float]) -> Quantity:
    """Return the quantity that `auto` decides by, from the spreads of windows of the same code.

    Wall time, unless it differs by more than `LARGEST_SPREAD`, and another quantity by at most `SMALLER` times as much;
    then that one, judged against the next in the same way.
    """
    chosen: Quantity = "wall"
    for quantity in QUANTITIES[1:]:
        too_large = spread.get(chosen, 0.0) > LARGEST_SPREAD
        if too_large and quantity in spread and spread[quantity] <= SMALLER * spread[chosen]:
            chosen = quantity
    return chosen


def in_words(spread: Mapping[Quantity, float]) -> str:
    """Return the spreads: ``3.1 % by wall time, 2.0 % by processor time``."""
    return ", ".join(f"{100 * value:.1f} % by {NAMES[quantity]}" for quantity, value in spread.items())
