"""Error rates of decisions, from repeated decisions on blocks that were recorded once (a bootstrap).

Each decision draws blocks with replacement and follows the `LookSchedule`, so that many decisions need no further
measurement. Conditions common to the recorded blocks, such as a busy machine, are common to all decisions.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.gate.sequential import LookSchedule, decide
from genbench.gate.verdict import Verdict


@dataclass(frozen=True)
class Replayed:
    """The outcomes of many decisions on the same recorded blocks."""

    decisions: int
    shares: dict[Verdict, float]  # only verdicts that occurred
    median_blocks: float  # until a decision, or the last look

    def share(self, verdict: Verdict) -> float:
        """Return how often the verdict was reached, 0 to 1."""
        return self.shares.get(verdict, 0.0)


def recentred(log_ratios: Sequence[float], slowdown: float) -> list[float]:
    """Shift the blocks of an artificially slowed step so that their mean is exactly this slowdown.

    Work added to a step costs slightly more than itself, since waiting threads have to be woken; a claim about a
    slowdown of 5 % must not be based on one of 6 %.
    """
    shift = math.log1p(slowdown) - statistics.mean(log_ratios)
    return [ratio + shift for ratio in log_ratios]


def replay(
    log_ratios: Sequence[float], limit: float, looks: LookSchedule, decisions: int, rng: random.Random
) -> Replayed:
    """Repeat the decision on a change for which these blocks were recorded. Raises ValueError without blocks."""
    if not log_ratios or decisions < 1:
        raise ValueError("a replay needs recorded blocks, and at least one decision")
    counts: Counter[Verdict] = Counter()
    used = []
    for _ in range(decisions):
        drawn = rng.choices(log_ratios, k=looks.blocks[-1])
        for blocks in looks.blocks:
            verdict = decide({"": drawn[:blocks]}, limit, looks)[""].verdict
            if verdict is not Verdict.INCONCLUSIVE:
                break
        counts[verdict] += 1
        used.append(blocks)
    shares = {verdict: count / decisions for verdict, count in counts.items()}
    return Replayed(decisions, shares, statistics.median(used))
