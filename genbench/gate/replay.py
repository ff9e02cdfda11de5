"""Error rates of decisions, from repeated decisions on blocks that were recorded once (a bootstrap).

Each decision draws blocks with replacement and follows the `LookSchedule`, so that many decisions need no further
measurement. Conditions common to the recorded blocks, such as a busy machine, are common to all decisions.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genbench.gate.sequential import LookSchedule, decide
from genbench.gate.verdict import Verdict


@dataclass(frozen=True)
class Replayed:
    """The outcomes of many decisions on the same recorded blocks."""

    outcomes: Mapping[tuple[Verdict, int], int]  # numbers of decisions, by verdict and blocks until it

    @property
    def decisions(self) -> int:
        """How many there were."""
        return sum(self.outcomes.values())

    @property
    def shares(self) -> dict[Verdict, float]:
        """How often each verdict was reached, 0 to 1; only verdicts that occurred."""
        return {verdict: self.share(verdict) for verdict in dict.fromkeys(verdict for verdict, _ in self.outcomes)}

    @property
    def median_blocks(self) -> float:
        """The median number of blocks until a decision, or the last look."""
        return statistics.median(blocks for (_, blocks), count in self.outcomes.items() for _ in range(count))

    def share(self, verdict: Verdict, within: float = math.inf) -> float:
        """Return how often the verdict was reached after at most this many blocks, 0 to 1."""
        counts = (count for (found, blocks), count in self.outcomes.items() if found is verdict and blocks <= within)
        return sum(counts) / self.decisions


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
    outcomes: Counter[tuple[Verdict, int]] = Counter()
    for _ in range(decisions):
        drawn = rng.choices(log_ratios, k=looks.blocks[-1])
        for blocks in looks.blocks:
            verdict = decide({"": drawn[:blocks]}, limit, looks)[""].verdict
            if verdict is not Verdict.INCONCLUSIVE:
                break
        outcomes[verdict, blocks] += 1
    return Replayed(outcomes)
