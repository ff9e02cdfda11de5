"""What it would cost to know: seeds, samples, images and hours that show a difference, from stored variances.

The forecast is for what `genbench compare RUN` will do: the same seeds in every cell, a paired t for each pair, and the
probability of a false difference shared among the pairs, as Holm's correction does for the smallest p-value. Later
p-values are treated more mildly, so the true power is at least the forecast if the variance is right. The variance is
itself an estimate from a few seeds, and the range of seeds follows from its 95 % interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from genbench.errors import NoDataError, UsageError, near_miss
from genbench.gate.contrasts import comparable
from genbench.gate.samples import Sample
from genbench.stats.chi_squared import chi_squared_quantile
from genbench.stats.power_of_t import detectable, seeds_needed

MORE_SAMPLES = 4  # times as many, in the forecast of what more samples bring
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairForecast:
    """What it takes to see a difference between two cells. None for a number of seeds: more than 100,000."""

    one: Sample
    other: Sample
    difference: float  # to be seen, in units of the metric
    spread: float  # standard deviation of the difference of one seed
    sampling_share: float | None  # of its variance; None: an error is unknown
    seeds: int | None
    seeds_low: int | None  # if the spread is at the lower end of its interval
    seeds_high: int | None
    seeds_with_more_samples: int | None  # with `MORE_SAMPLES` times the samples; as `seeds` if the share is unknown
    seeds_with_all_samples: int | None  # with so many that sampling has no error
    present: int  # seeds that both cells have
    sees: float  # difference that these would show
    sees_with_all_samples: float


@dataclass(frozen=True)
class CellCost:
    """What one cell needs to take part in all of its pairs."""

    cell: str
    model: str
    metric: str
    seeds: int | None
    samples: int | None  # to be drawn and measured, over all seeds
    images: float | None  # to be trained on, over all seeds
    hours: float | None  # of cells like the stored ones, on the machine that made them


@dataclass(frozen=True)
class Plan:
    """The forecast for all pairs, and the cost of each cell."""

    share: float  # difference to be seen, of the mean of the two cells
    error: float  # probability of any false difference
    power: float
    pairs: tuple[PairForecast, ...]
    costs: tuple[CellCost, ...]
    left_out: tuple[str, ...]


def forecast(samples: Sequence[Sample], share: float, error: float, power: float, models: Sequence[str] = ()) -> Plan:
    """Return what it takes to see a difference of this share of the mean of each two comparable cells.

    Raises `UsageError` for an error or power outside (0, 1), a share of 0, or an unknown model, and `NoDataError` if no
    two comparable cells have two seeds each.
    """
    for name, value, largest in (("detect", share, math.inf), ("error", error, 1.0), ("power", power, 1.0)):
        if not 0 < value < largest:
            above = "Give a share above 0, such as 5%." if largest > 1 else "Give a share between 0% and 100%."
            raise UsageError(f"--{name} {100 * value:g}% is not valid.", above)
    if power <= error:
        rates = f"--power {100 * power:g}% is not above --error {100 * error:g}%."
        raise UsageError(rates, "Usual are --power 80% and --error 5%.")
    known = [*dict.fromkeys(sample.model for sample in samples)]
    for model in models:
        if model not in known:
            raise UsageError(
                f"No cell has the model '{model}'.{near_miss(model, known)}",
                f"Models: {', '.join(known)}.",
                code="GB708",
            )
    wanted = [sample for sample in samples if not models or sample.model in models]
    left_out = [f"{s.cell} {s.metric}: {', '.join(s.left_out)}" for s in wanted if s.left_out]
    usable = [sample for sample in wanted if len(sample.values) > 1]
    left_out += [f"{s.cell} {s.metric}: one seed does not show a variance" for s in wanted if len(s.values) < 2]
    pairs = [pair for group in comparable(usable) for pair in combinations(group, 2)]
    if not pairs:
        raise NoDataError(
            f"No two comparable cells have two seeds each{': ' + '; '.join(left_out[:3]) if left_out else ''}.",
            "Run a pilot of a few seeds first: `genbench run --models a,b --seeds 0,1,2,3,4`.",
            code="GB803",
        )
    found = tuple(_pair(one, other, share, error / len(pairs), power) for one, other in pairs)
    return Plan(
        share,
        error,
        power,
        found,
        tuple(_cost(sample, found) for sample in usable if _own(sample, found)),
        tuple(left_out),
    )


def _pair(one: Sample, other: Sample, share: float, error: float, power: float) -> PairForecast:
    wanted = share * (abs(one.mean) + abs(other.mean)) / 2
    variance, degrees = _variance(one, other)
    sampling = _sampling(one, other)
    least = sampling or 0.0
    low, high = (
        max(least, degrees * variance / chi_squared_quantile(p, degrees))
        for p in ((1 + _CONFIDENCE) / 2, (1 - _CONFIDENCE) / 2)
    )
    variance = max(variance, least)
    training = variance - least

    def seeds(spread: float) -> int | None:
        return seeds_needed(wanted, spread, error, power)

    present = len(one.values.keys() & other.values.keys()) or min(len(one.values), len(other.values))
    tested = max(2, present)
    return PairForecast(
        one,
        other,
        wanted,
        math.sqrt(variance),
        None if sampling is None else sampling / variance if variance else 0.0,
        seeds(math.sqrt(variance)),
        seeds(math.sqrt(low)),
        seeds(math.sqrt(high)),
        seeds(math.sqrt(training + least / MORE_SAMPLES)),
        seeds(math.sqrt(training)),
        present,
        detectable(math.sqrt(variance), tested, error, power),
        detectable(math.sqrt(training), tested, error, power),
    )


def _variance(one: Sample, other: Sample) -> tuple[float, float]:
    """Return the variance of the difference of one seed, and the degrees of freedom of this estimate."""
    if one.values.keys() == other.values.keys():
        return statistics.variance([other.values[seed] - one.values[seed] for seed in one.values]), len(one.values) - 1
    first, second = (statistics.variance(sample.values.values()) for sample in (one, other))
    total = first + second
    if total == 0:
        return 0.0, len(one.values) + len(other.values) - 2
    inverse = (first / total) ** 2 / (len(one.values) - 1) + (second / total) ** 2 / (len(other.values) - 1)
    return total, 1 / inverse


def _sampling(one: Sample, other: Sample) -> float | None:
    """Return the variance of the difference of one seed that drawing samples explains; None if an error is unknown."""
    parts = one.components, other.components
    return None if parts[0] is None or parts[1] is None else parts[0].sampling + parts[1].sampling


def _own(sample: Sample, pairs: Sequence[PairForecast]) -> list[PairForecast]:
    return [pair for pair in pairs if pair.one is sample or pair.other is sample]


def _cost(sample: Sample, pairs: Sequence[PairForecast]) -> CellCost:
    needed = [pair.seeds for pair in _own(sample, pairs)]
    known = [seeds for seeds in needed if seeds is not None]
    if len(known) < len(needed):
        return CellCost(sample.cell, sample.model, sample.metric, None, None, None, None)
    seeds = max(known)
    return CellCost(
        sample.cell,
        sample.model,
        sample.metric,
        seeds,
        seeds * sample.samples,
        seeds * sample.images,
        seeds * sample.seconds / 3600,
    )
