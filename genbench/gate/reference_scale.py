"""A value relative to the reference points of its metric: a perfect generator's expected score, and real images."""

from __future__ import annotations

import math

from genbench.api.evaluation import Direction

SIGNIFICANT = 2  # standard errors beyond which a difference counts as one


def differs_from_null(value: float, error: float | None, null: float) -> bool | None:
    """Return whether a value differs significantly from its null; None if no error is known."""
    return None if error is None else abs(value - null) >= SIGNIFICANT * error


def is_better(
    value: float, error: float | None, other: float, other_error: float | None, direction: Direction
) -> bool | None:
    """Return whether a value is significantly better than another one; None if an error is unknown.

    The errors are assumed to be independent: their squares add up.
    """
    if error is None or other_error is None:
        return None
    gain = other - value if direction == "lower" else value - other
    return gain > SIGNIFICANT * math.hypot(error, other_error)
