"""A race: which candidates are surely not the best, decided at planned looks that share one error probability.

Candidates are cells apart from their seed. Each look follows a further seed of all that are left. A candidate is
dropped if a paired t over the seeds of both finds it worse than another one that is left. Observations during training
are not used: learning curves cross, so a model that is behind halfway is not surely worse at the end.

The error is the probability of dropping any candidate than which none is better. The looks of one pair share their part
of it in such a way that the probability of a false alarm at any of them is bounded (`genbench.stats.repeated_t`), and
the parts of pairs add up, however they depend on each other (Bonferroni). Of `m` candidates, `d` of which have been
dropped as worse, (m - d)(m - 1) pairs share the error. This is enough: of `t` equally best candidates, each can be
dropped wrongly by m - 1 others, and before the first wrong drop every drop was another candidate, so t ≤ m - d (the
argument of Holm 1979). Candidates that were dropped because they fail are not counted in `d`: one may be the best.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import NamedTuple

from genbench.api.evaluation import Direction
from genbench.results.schema import PlannedRace, RaceDrop, RaceLook, RaceStanding
from genbench.stats.intervals import mean_and_error
from genbench.stats.repeated_t import repeated_level
from genbench.stats.student_t import t_quantile
from genbench.stats.welch import Difference

FIRST_LOOK = 3  # seeds; with two, hardly any difference is large enough
LARGEST_ERROR = 0.2
MOST_FAILURES = 1  # seeds without a value; one more drops the candidate
_ROUNDING = 1e-9  # relative: differences that vary by no more than this are equal


@dataclass(frozen=True)
class Boundaries:
    """The p-values, and values of t, that drop a candidate."""

    candidates: int
    most_seeds: int
    error: float

    def __post_init__(self) -> None:
        """Reject a race that has nothing to decide, and errors that are not probabilities."""
        if self.candidates < 2 or self.most_seeds < FIRST_LOOK or not 0 < self.error <= LARGEST_ERROR:
            raise ValueError("a race needs two candidates, three seeds, and an error of at most a fifth")

    def level(self, dropped: int = 0) -> float:
        """Return the one-sided p-value that drops a candidate at any look, after this many were dropped as worse."""
        pairs = (self.candidates - dropped) * (self.candidates - 1)
        return repeated_level(self.error / pairs, FIRST_LOOK, self.most_seeds)

    def t(self, seeds: int, dropped: int = 0) -> float:
        """Return the t that drops a candidate after this many seeds."""
        return t_quantile(1 - self.level(dropped), seeds - 1)


class Value(NamedTuple):
    """A value of the metric; two are comparable if their keys are equal."""

    value: float
    comparable: Hashable = ""


@dataclass(frozen=True)
class Entrant:
    """What is known about one candidate."""

    values: Mapping[int, Value] = field(default_factory=dict)  # by seed
    failures: int = 0  # seeds that ran and have no value


class _Test(NamedTuple):
    p_value: float
    t: float
    candidate: str
    than: str
    seeds: int
    difference: float  # candidate minus the other, in the unit of the metric
    standard_error: float


def boundaries(race: PlannedRace) -> Boundaries:
    """Return the boundaries of a planned race."""
    return Boundaries(len(race.candidates), race.most_seeds, race.error)


def look(
    entrants: Mapping[str, Entrant], seeds: int, limits: Boundaries, direction: Direction, dropped: int = 0
) -> RaceLook:
    """Return who is dropped at the look after this many seeds.

    Candidates that fail are dropped first, then one after the other those with the smallest p-values; each is worse
    than another that is left at that moment, so at least one is left of those that do not fail. The order of candidates
    and seeds does not matter. Differences that are all equal have no error to be compared with and drop nobody.

    Args:
        entrants: the candidates that are left.
        seeds: the seeds that each has run.
        limits: the boundaries of the race.
        direction: which values are better.
        dropped: how many candidates earlier looks have dropped as worse.
    """
    drops = [
        RaceDrop(candidate=name, cause="failing", failures=one.failures)
        for name, one in sorted(entrants.items())
        if one.failures > MOST_FAILURES
    ]
    left = {name: one for name, one in entrants.items() if one.failures <= MOST_FAILURES}
    tests = sorted(
        (
            found
            for (name, one), (than, other) in permutations(sorted(left.items()), 2)
            if (found := _test(name, one, than, other, direction)) is not None
        ),
        key=lambda test: (test.p_value, -test.t, test.candidate, test.than),
    )
    while (found := next((one for one in tests if {one.candidate, one.than} <= left.keys()), None)) is not None:
        level = limits.level(dropped)
        if found.p_value > level:
            break
        drops.append(
            RaceDrop(
                candidate=found.candidate,
                cause="worse",
                than=found.than,
                seeds=found.seeds,
                difference=found.difference,
                standard_error=found.standard_error,
                p_value=found.p_value,
                level=level,
            )
        )
        del left[found.candidate]
        dropped += 1
    standings = [_standing(name, one) for name, one in sorted(entrants.items())]
    return RaceLook(seeds=seeds, standings=standings, drops=drops)


def _test(name: str, one: Entrant, than: str, other: Entrant, direction: Direction) -> _Test | None:
    """Return the test of whether `one` is worse; None if it is not behind, or if they share too few seeds."""
    pairs = [
        (one.values[seed].value, other.values[seed].value)
        for seed in sorted(one.values.keys() & other.values.keys())
        if one.values[seed].comparable == other.values[seed].comparable
    ]
    if len(pairs) < FIRST_LOOK:
        return None
    sign, n = -1 if direction == "higher" else 1, len(pairs)
    differences = [sign * (mine - theirs) for mine, theirs in pairs]
    mean = statistics.fmean(differences)
    behind = Difference(mean, math.dist(differences, [mean] * n) / math.sqrt(n * (n - 1)), n - 1)
    if behind.mean <= 0 or behind.standard_error <= _ROUNDING * behind.mean:
        return None
    t = behind.mean / behind.standard_error
    return _Test(behind.p_value(0.0), t, name, than, n, sign * behind.mean, behind.standard_error)


def _standing(name: str, one: Entrant) -> RaceStanding:
    values = [value.value for _, value in sorted(one.values.items())]
    mean, error = mean_and_error(values) if values else (None, None)
    return RaceStanding(candidate=name, seeds=len(values), mean=mean, standard_error=error, failures=one.failures)


# ----------------------------------------------------------------------------------------------------------------------
# What is run next


def left_after(race: PlannedRace, looks: Sequence[RaceLook]) -> list[str]:
    """Return the candidates that these looks have left, in the order of the plan."""
    gone = {drop.candidate for one in looks for drop in one.drops}
    return [candidate.name for candidate in race.candidates if candidate.name not in gone]


def dropped_as_worse(looks: Sequence[RaceLook]) -> int:
    """Return how many candidates these looks have dropped as worse than another."""
    return sum(drop.cause == "worse" for one in looks for drop in one.drops)


def seed_at(race: PlannedRace, place: int) -> int:
    """Return the seed with this place, from 0: a planned one, or one of those that follow the largest of them."""
    planned = len(race.seeds)
    return race.seeds[place] if place < planned else max(race.seeds) + 1 + place - planned


def planned_images(race: PlannedRace) -> int:
    """Return the images of the full plan, which a race never exceeds."""
    return len(race.seeds) * sum(candidate.images for candidate in race.candidates)


def least_images(race: PlannedRace) -> int:
    """Return the images of a race that the first look decides."""
    return FIRST_LOOK * sum(candidate.images for candidate in race.candidates)


def spent_images(race: PlannedRace, looks: Sequence[RaceLook]) -> int:
    """Return the images of the cells up to the last look."""
    images = {candidate.name: candidate.images for candidate in race.candidates}
    total = before = 0
    for number, one in enumerate(looks):
        total += (one.seeds - before) * sum(images[name] for name in left_after(race, looks[:number]))
        before = one.seeds
    return total


def next_places(race: PlannedRace, looks: Sequence[RaceLook]) -> range:
    """Return the places of the seeds that all candidates left are to run before the next look; empty at the end.

    The race ends when one candidate is left, at its largest number of seeds, or where a further seed of all that are
    left would cost more than the full plan.
    """
    if not looks:
        return range(FIRST_LOOK)
    done, left = looks[-1].seeds, left_after(race, looks)
    images = sum(candidate.images for candidate in race.candidates if candidate.name in left)
    spent = spent_images(race, looks) + images > planned_images(race)
    return range(done, done) if len(left) < 2 or done >= race.most_seeds or spent else range(done, done + 1)
