"""A value relative to the reference points of its metric: a perfect generator's expected score, and real images."""

from __future__ import annotations

import math

from genbench.api.evaluation import Direction

SIGNIFICANT = 2  # standard errors beyond which a difference counts as one
# Of the null: held-out images of the data that an extractor was made for score 1.2 to 1.4 times the null, because their
# features are not quite Gaussian. Above this factor their features are so far from it that distances mislead.
UNSUITED = 1.5


def differs_from_null(value: float, error: float | None, null: float) -> bool | None:
    """Return whether a value differs significantly from its null; None if no error is known."""
    return None if error is None else abs(value - null) >= SIGNIFICANT * error


def is_unsuited(held_out: float, error: float | None, null: float) -> bool:
    """Return whether real held-out images score so far above the null that the metric does not suit the data.

    That is by more than half of the null, and significantly. Only for distances, whose null is above 0.
    """
    return null > 0 and held_out > UNSUITED * null and differs_from_null(held_out, error, null) is True


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
