"""The chi-squared distribution: tail probabilities and quantiles, for variances.

P(X ≤ x) with ν degrees of freedom is the regularised incomplete gamma function P(ν/2, x/2), computed by its series
below the mean and by its continued fraction above (Abramowitz & Stegun 6.5.29, 6.5.31).
"""

from __future__ import annotations

import math
from functools import lru_cache

_TERMS = 10_000


def chi_squared_tail(x: float, degrees: float) -> float:
    """Return P(X > x); raise ValueError if x is NaN or degrees ≤ 0."""
    if math.isnan(x) or not degrees > 0:
        raise ValueError(f"no tail of chi-squared at {x} with {degrees} degrees of freedom")
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    a, half = degrees / 2, x / 2
    scale = math.exp(a * math.log(half) - half - math.lgamma(a))
    if half < a + 1:
        term = total = 1 / a
        for n in range(1, _TERMS):
            term *= half / (a + n)
            total += term
            if term < 1e-17 * total:
                break
        return max(0.0, 1 - scale * total)
    b = half + 1 - a
    c, d = 1e300, 1 / b
    value = d
    for n in range(1, _TERMS):
        coefficient = n * (a - n)
        b += 2
        d = 1 / (coefficient * d + b)
        c = b + coefficient / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return scale * value


@lru_cache(1024)
def chi_squared_quantile(probability: float, degrees: float) -> float:
    """Return x with P(X ≤ x) = `probability`, strictly between 0 and 1."""
    if not 0 < probability < 1:
        raise ValueError(f"a quantile needs a probability between 0 and 1, not {probability}")
    low, high = 0.0, max(1.0, degrees)
    while chi_squared_tail(high, degrees) > 1 - probability:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if chi_squared_tail(middle, degrees) > 1 - probability else (low, middle)
    return (low + high) / 2
