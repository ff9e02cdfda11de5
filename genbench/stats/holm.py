"""Several decisions at once: the chance that any of them is a false alarm is kept at that of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")


def holm(chances: Mapping[Name, float]) -> dict[Name, float]:
    """Return p-values adjusted so that comparing each with α errs anywhere with probability α at most.

    Holm 1979, "A simple sequentially rejective multiple test procedure": of m, the k-th smallest counts m + 1 - k
    times, and none less than a smaller one. The p-values may depend on each other. Raises ValueError for one that is
    outside [0, 1].
    """
    if not all(0 <= chance <= 1 for chance in chances.values()):
        raise ValueError("a p-value lies between 0 and 1")
    adjusted: dict[Name, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(chances, key=chances.__getitem__)):
        least = max(least, min(1.0, (len(chances) - rank) * chances[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in chances}
