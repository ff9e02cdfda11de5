"""How many seeds it takes to see a difference: the power of the paired t, from its exact distribution.

If the true mean difference is δ and the differences of n seeds are normal with standard deviation s, the t statistic
has the noncentral t distribution with n - 1 degrees of freedom and noncentrality δ √n / s. Power is its probability
beyond the quantiles of Student's t, computed here by integrating over the distribution of the sample's spread.
"""

from __future__ import annotations

import math

from genbench.stats.student_t import t_quantile

MOST_SEEDS = 100_000
_STEPS = 400  # of the integral
_REACH = 9.0  # standard deviations


def paired_power(difference: float, spread: float, seeds: int, error: float) -> float:
    """Return the probability that the two-sided paired t finds a difference.

    Args:
        difference: the true mean difference, in the units of `spread`.
        spread: true standard deviation of the difference of one seed.
        seeds: pairs, at least two.
        error: probability of a false alarm if there is no difference, in both directions together.

    Raises ValueError for fewer than two seeds, an error outside (0, 1), or a spread or difference that is not finite.
    """
    if seeds < 2 or not 0 < error < 1 or not (math.isfinite(difference) and math.isfinite(spread) and spread >= 0):
        raise ValueError(f"no power for {difference} with spread {spread}, {seeds} seeds and error {error}")
    if spread == 0:
        return 1.0 if difference else error
    degrees = seeds - 1
    shift = abs(difference) * math.sqrt(seeds) / spread
    beyond = t_quantile(1 - error / 2, degrees)
    if degrees > 5_000:  # the sample's standard deviation is as good as known
        return _beyond(shift, beyond)
    # u = s / σ has the density of a chi distribution, over √ν.
    reach = _REACH / math.sqrt(2 * degrees)
    low, high = max(0.0, 1 - reach), min(1 + reach, (shift + _REACH) / beyond)  # larger u find nothing
    if high <= low:
        return 0.0
    step = (high - low) / _STEPS
    constant = math.log(2) + degrees / 2 * math.log(degrees / 2) - math.lgamma(degrees / 2)
    total = 0.0
    for n in range(_STEPS + 1):
        u = low + n * step
        weight = 1 if n in (0, _STEPS) else 4 if n % 2 else 2
        if u > 0:
            density = math.exp(constant + (degrees - 1) * math.log(u) - degrees * u * u / 2)
        else:
            density = math.exp(constant) if degrees == 1 else 0.0
        total += weight * density * _beyond(shift, beyond * u)
    return min(1.0, max(0.0, total * step / 3))


def seeds_needed(difference: float, spread: float, error: float, power: float) -> int | None:
    """Return the smallest number of seeds that finds a difference with probability `power`.

    None: more than `MOST_SEEDS`, or there is no difference.
    """
    if difference == 0 or paired_power(difference, spread, MOST_SEEDS, error) < power:
        return None
    low, high = 1, 2
    while paired_power(difference, spread, high, error) < power:
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(difference, spread, middle, error) >= power else (middle, high)
    return high


def detectable(spread: float, seeds: int, error: float, power: float) -> float:
    """Return the smallest true difference that this many seeds find with probability `power`."""
    if spread == 0:
        return 0.0
    low, high = 0.0, spread
    while paired_power(high, spread, seeds, error) < power:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if paired_power(middle, spread, seeds, error) >= power else (middle, high)
    return high


def _beyond(shift: float, beyond: float) -> float:
    """Return P(|Z + shift| > beyond) of a standard normal Z."""
    root = math.sqrt(2)
    return 0.5 * (math.erfc((beyond - shift) / root) + math.erfc((beyond + shift) / root))
