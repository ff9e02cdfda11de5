"""Which cells of a run differ in a metric by more than chance: every pair of comparable cells, over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from genbench.gate.samples import Sample
from genbench.stats.holm import holm
from genbench.stats.letters import letters
from genbench.stats.power_of_t import detectable
from genbench.stats.seed_comparison import Comparison, compare_seeds

ERROR = 0.05  # probability of any false difference among all pairs
POWER = 0.8  # with which `sees` is seen
Answer = Literal["better", "worse", "undecided", "one seed"]


@dataclass(frozen=True)
class Contrast:
    """The difference between two cells in one metric."""

    one: Sample
    other: Sample
    answer: Answer  # is `one` better than `other`?
    comparison: Comparison | None  # other - one; None if a side has one seed
    low: float | None = None  # 95 % interval of other - one, of this pair alone
    high: float | None = None
    p_adjusted: float | None = None  # by Holm, over all pairs that were tested together
    own_error: float = ERROR  # of this pair, if all pairs share the probability of a false difference

    @property
    def sees(self) -> float | None:
        """The smallest true difference that these seeds find with probability `POWER`; None: not paired."""
        found = self.comparison
        if found is None or found.method != "paired t":
            return None
        spread = found.difference.standard_error * math.sqrt(found.seeds)
        return detectable(spread, found.seeds, self.own_error, POWER)


@dataclass(frozen=True)
class Ranking:
    """Samples that compare with each other, the best first, with the letters of their significance groups."""

    samples: tuple[Sample, ...]
    letters: tuple[str, ...]  # values that share a letter are not separated; empty for one seed or too many


def contrasts(samples: Sequence[Sample]) -> list[Contrast]:
    """Return every pair of samples that compare with each other; p-values are corrected for all of them together."""
    pairs = [pair for group in comparable(samples) for pair in combinations(group, 2)]
    compared = [
        compare_seeds(one.values, other.values) if min(len(one.values), len(other.values)) > 1 else None
        for one, other in pairs
    ]
    adjusted = holm({n: found.p_value for n, found in enumerate(compared) if found is not None})
    return [
        _contrast(one, other, found, adjusted.get(n), ERROR / max(1, len(adjusted)))
        for n, ((one, other), found) in enumerate(zip(pairs, compared, strict=True))
    ]


def rankings(samples: Sequence[Sample], pairs: Sequence[Contrast]) -> list[Ranking]:
    """Return each group of comparable samples in order, with letters from the answers about their pairs."""
    apart = {(id(pair.one), id(pair.other)) for pair in pairs if pair.answer in ("better", "worse")}
    found = []
    for group in comparable(samples):
        sign = -1 if group[0].direction == "higher" else 1
        ordered = sorted(group, key=lambda sample: sign * sample.mean)
        tested = [sample for sample in ordered if len(sample.values) > 1]
        different = [
            (n, m)
            for (n, one), (m, other) in combinations(enumerate(tested), 2)
            if {(id(one), id(other)), (id(other), id(one))} & apart
        ]
        given = dict(zip(map(id, tested), letters(len(tested), different) or (), strict=False))
        found.append(Ranking(tuple(ordered), tuple(given.get(id(sample), "") for sample in ordered)))
    return found


def comparable(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Return the samples in groups of the same metric, pixels and protocol."""
    groups: dict[object, list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.metric, sample.comparable), []).append(sample)
    return [*groups.values()]


def _contrast(
    one: Sample, other: Sample, found: Comparison | None, p_adjusted: float | None, own_error: float
) -> Contrast:
    if found is None or p_adjusted is None:
        return Contrast(one, other, "one seed", None)
    difference = found.difference
    constant = difference.standard_error == 0 and difference.mean != 0  # no value varies: there is no interval
    low, high = (None, None) if constant else difference.bounds(ERROR / 2)
    answer: Answer = "undecided"
    if p_adjusted <= ERROR:
        answer = "better" if (difference.mean > 0) == (one.direction == "lower") else "worse"
    return Contrast(one, other, answer, found, low, high, p_adjusted, own_error)
