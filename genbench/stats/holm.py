"""Correction for multiple tests: the probability of any false alarm is kept at that of a single test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Return adjusted p-values: comparing each with α makes any false alarm with probability at most α.

    Holm 1979, "A simple sequentially rejective multiple test procedure": of m, the k-th smallest is multiplied
    by m + 1 - k, and the results are made monotone. The p-values may depend on each other. Raises ValueError for one
    outside [0, 1].
    """
    if not all(0 <= p_value <= 1 for p_value in p_values.values()):
        raise ValueError("a p-value lies between 0 and 1")
    adjusted: dict[Name, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}
