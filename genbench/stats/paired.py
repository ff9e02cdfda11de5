"""The effect of a change, from paired measurements: log ratios of head's time to base's, one per block.

A block is a pair of fresh processes, so that its log ratio includes the variation between processes (memory layout,
load by others) and log ratios of different blocks are independent. Windows of one process are not: they never count as
samples here. The mean of log ratios is estimated with Student's t interval; the Hodges-Lehmann estimate accompanies it,
which is robust to a few disturbed blocks. There is no percentile bootstrap: with a dozen blocks its intervals are too
narrow.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.stats.student_t import t_quantile, t_tail


@dataclass(frozen=True)
class Effect:
    """The estimate of a mean log ratio; above 0, head needs more time than base."""

    mean: float
    spread: float  # standard deviation of one block's log ratio
    blocks: int
    robust: float  # Hodges-Lehmann estimate of the centre

    @property
    def standard_error(self) -> float:
        """The standard error of the mean."""
        return self.spread / math.sqrt(self.blocks)

    def bounds(self, error: float) -> tuple[float, float]:
        """Return the lower and the upper bound of the mean, each wrong with probability at most `error`."""
        reach = t_quantile(1 - error, self.blocks - 1) * self.standard_error
        return self.mean - reach, self.mean + reach

    def p_value(self, limit: float) -> float:
        """Return the p-value of exceeding `limit`: the probability of at least this mean if `limit` were true."""
        if self.standard_error == 0:
            return 0.0 if self.mean > limit else 1.0
        return t_tail((self.mean - limit) / self.standard_error, self.blocks - 1)

    def detectable(self, error: float, power: float) -> float:
        """Return the smallest excess over a limit that is detected with probability `power` at this spread."""
        return (t_quantile(1 - error, self.blocks - 1) + t_quantile(power, self.blocks - 1)) * self.standard_error

    def blocks_to_decide(self, limit: float, error: float, power: float) -> int | None:
        """Return how many blocks would separate this mean from the limit with probability `power`; None: no number.

        n = ((z_{1-error} + z_power) s / |mean - limit|)² + 2, the normal approximation with a correction for the t.
        """
        distance = abs(self.mean - limit)
        if distance == 0:
            return None
        normal = statistics.NormalDist()
        blocks = ((normal.inv_cdf(1 - error) + normal.inv_cdf(power)) * self.spread / distance) ** 2 + 2
        return math.ceil(blocks) if math.isfinite(blocks) and blocks < 1e9 else None


def effect(log_ratios: Sequence[float]) -> Effect:
    """Return the effect that the blocks show. Raises ValueError for fewer than two, or one that is not finite."""
    if len(log_ratios) < 2 or not all(math.isfinite(ratio) for ratio in log_ratios):
        raise ValueError("an effect needs at least two blocks, all of them finite")
    exact = [float(ratio) for ratio in log_ratios]
    return Effect(statistics.mean(exact), statistics.stdev(exact), len(exact), hodges_lehmann(exact))


def hodges_lehmann(values: Sequence[float]) -> float:
    """Return the median of the means of all pairs, each value with itself included (Hodges & Lehmann 1963)."""
    return statistics.median((one + other) / 2 for n, one in enumerate(values) for other in values[n:])
