"""Two sides measured in alternating windows, ABBA BAAB: their log ratio, and how much neighbouring windows differ."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

_SIGMAS_PER_MEDIAN = 1 / statistics.NormalDist().inv_cdf(0.75)  # of the distances of normal numbers to their mean


def pair_log_ratios(order: str, values: Sequence[float]) -> list[float]:
    """Return ln(B / A) of each pair of neighbouring windows; NaN where one of them is not positive.

    Args:
        order: the side of each window, such as ``ABBABAAB``.
        values: of each window, in that order.
    """
    pairs = zip(order[::2], values[::2], values[1::2], strict=True)
    return [_log_ratio(one, two) if first == "A" else _log_ratio(two, one) for first, one, two in pairs]


def log_ratio(order: str, values: Sequence[float]) -> float:
    """Return the median of ln(B / A) over pairs of neighbouring windows, which a few disturbed windows do not move.

    NaN if a window has no value, or without any.
    """
    found = pair_log_ratios(order, values)
    return statistics.median(found) if found and all(map(math.isfinite, found)) else math.nan


def spread(log_ratios: Sequence[float]) -> float:
    """Return the standard deviation around 0 of log ratios of the same code, from the median of their distances to 0.

    A few disturbed pairs do not move it. NaN without any, or with one that is not finite.
    """
    if not log_ratios or not all(map(math.isfinite, log_ratios)):
        return math.nan
    return _SIGMAS_PER_MEDIAN * statistics.median(map(abs, log_ratios))


def _log_ratio(base: float, head: float) -> float:
    return math.log(head / base) if base > 0 and head > 0 else math.nan
