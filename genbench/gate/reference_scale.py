"""Where a value lies on the scale of its metric: beside what a perfect generator scores, and beside real images."""

from __future__ import annotations

import math

from genbench.api.evaluation import Direction

TELLING_ERRORS = 2  # a difference of more standard errors than these counts as one


def distinguishable(value: float, error: float | None, null: float) -> bool | None:
    """Say whether a value differs from its null by more than its error allows; None where no error is known."""
    return None if error is None else abs(value - null) >= TELLING_ERRORS * error


def is_better(
    value: float, error: float | None, other: float, other_error: float | None, direction: Direction
) -> bool | None:
    """Say whether a value is better than another one by more than both errors allow; None where one is not known.

    The errors are taken as independent: their squares add up.
    """
    if error is None or other_error is None:
        return None
    gain = other - value if direction == "lower" else value - other
    return gain > TELLING_ERRORS * math.hypot(error, other_error)
