"""How often decisions err: made again and again from blocks that were recorded once.

Each decision draws blocks with replacement and looks when the `LookSchedule` says, so that many decisions need no
further measurement. What the recorded blocks have in common, such as a busy machine, all decisions share.
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
    """What came of many decisions on the same recorded blocks."""

    decisions: int
    shares: dict[Verdict, float]  # only verdicts that occurred
    median_blocks: float  # until a decision, or the last look

    def share(self, verdict: Verdict) -> float:
        """Return how often the verdict was reached, 0 to 1."""
        return self.shares.get(verdict, 0.0)


def recentred(log_ratios: Sequence[float], slowdown: float) -> list[float]:
    """Return blocks of a step that was slowed on purpose as if it had become slower by exactly this share.

    What is put into a step costs a little more than itself, since threads that waited have to be woken; a claim about a
    slowdown of 5 % may not rest on one of 6 %.
    """
    shift = math.log1p(slowdown) - statistics.mean(log_ratios)
    return [ratio + shift for ratio in log_ratios]


def replay(
    log_ratios: Sequence[float], limit: float, looks: LookSchedule, decisions: int, rng: random.Random
) -> Replayed:
    """Decide so many times about a change of which these blocks were recorded. Raises ValueError without blocks."""
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
