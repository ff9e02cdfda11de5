"""Weights that depend on the fraction of the budget consumed; they stay on the device.

`progress` is a scalar tensor in [0, 1), or None where it is unknown: then the schedule has ended.
"""

from __future__ import annotations

from torch import Tensor


def linear(progress: Tensor | None, share: float) -> Tensor | None:
    """Rise from 0 to 1 in the first `share` of the budget (Bowman et al. 2016, linear instead of their sigmoid)."""
    return None if progress is None else (progress / share).clamp(max=1.0)


def cyclical(progress: Tensor | None, share: float, cycles: int) -> Tensor | None:
    """Rise from 0 to 1 in the first `share` of each of `cycles` equal cycles (Fu et al. 2019)."""
    return None if progress is None else ((progress * cycles).remainder(1.0) / share).clamp(max=1.0)
