"""Student's t distribution, F and Beta: tail probabilities and quantiles for intervals from few samples.

P(T > t) for t ≥ 0 and ν degrees of freedom is ½ I_x(ν/2, ½) with x = ν / (ν + t²), the regularised incomplete beta
function (Abramowitz & Stegun 26.5.27, 26.7.1), computed here by its continued fraction (26.5.8), evaluated from the top
(Lentz 1976, "Generating Bessel functions in Mie scattering calculations using continued fractions").
"""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
_TERMS = 10_000


def t_tail(t: float, degrees: float) -> float:
    """Return P(T > t) for `degrees` > 0 degrees of freedom; raise ValueError if t is NaN or degrees ≤ 0."""
    if math.isnan(t) or not degrees > 0:
        raise ValueError(f"no tail of Student's t at {t} with {degrees} degrees of freedom")
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    tail = 0.5 * _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t), t * t / (degrees + t * t))
    return tail if t >= 0 else 1.0 - tail


@lru_cache(1024)
def t_quantile(probability: float, degrees: float) -> float:
    """Return t with P(T ≤ t) = `probability`, strictly between 0 and 1, to twelve digits."""
    if not 0 < probability < 1:
        raise ValueError(f"a quantile needs a probability between 0 and 1, not {probability}")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while t_tail(high, degrees) > 1 - probability:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_tail(middle, degrees) > 1 - probability else (low, middle)
    return (low + high) / 2


def f_tail(f: float, numerator: float, denominator: float) -> float:
    """Return P(F > f) for degrees of freedom above 0: I_y(ν₂/2, ν₁/2) with y = ν₂ / (ν₂ + ν₁ f) (A & S 26.6.2)."""
    if math.isnan(f) or not (numerator > 0 and denominator > 0):
        raise ValueError(f"no tail of F at {f} with {numerator} and {denominator} degrees of freedom")
    if f <= 0:
        return 1.0
    total = denominator + numerator * f
    return _incomplete_beta(denominator / 2, numerator / 2, denominator / total, numerator * f / total)


def beta_distribution(a: float, b: float, x: float) -> float:
    """Return P(B ≤ x) for B with the Beta distribution of a, b > 0, and x from 0 to 1."""
    return _incomplete_beta(a, b, x, 1 - x)


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Return I_x(a, b); y is 1 - x, given because near x = 1 the difference has few correct digits."""
    if x <= 0 or y <= 0:
        return float(y <= 0)
    if x > (a + 1) / (a + b + 2):  # the fraction converges slowly here, and that of the mirror image fast
        return 1 - _incomplete_beta(b, a, y, x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        m = term // 2
        if term % 2:
            coefficient = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            coefficient = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + coefficient * d)
        c = _away_from_zero(1 + coefficient / c)
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away_from_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
