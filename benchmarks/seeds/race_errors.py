"""How often does a race drop one of the best candidates, and what does it save? By simulation.

    python benchmarks/seeds/race_errors.py --out results/reference/race-errors.json

A campaign draws a value for each candidate and seed, and replays the race look by look with the functions that
`genbench run --race` uses. The same values decide the full plan: all planned seeds of all candidates, compared as
`genbench compare RUN` compares them. Counted is how often

- a candidate than which none is better is dropped (the error that the race bounds by 5 %),
- the race and the full plan contradict each other: one says that A is worse than B, the other that B is worse than A,

and on average which part of the images of the full plan is spent, how many candidates are left, and how many the full
plan does not separate from the one with the best mean.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from genbench.gate.race import (
    Entrant,
    Value,
    boundaries,
    dropped_as_worse,
    left_after,
    look,
    next_places,
    planned_images,
    spent_images,
)
from genbench.results.schema import PlannedRace, RaceCandidate, RaceLook
from genbench.stats.holm import holm
from genbench.stats.paired_tests import paired_t
from genbench.stats.welch import welch

ERROR = 0.05
_GOOD = 1e-9  # candidates whose true means differ by less are equally good


@dataclass(frozen=True)
class Truth:
    """What is true of the candidates; lower values are better."""

    name: str
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    shared: float = 0.0  # standard deviation of what a seed does to all candidates
    shape: str = "normal"
    failing: float = 0.0  # probability that a seed of any candidate has no value
    seeds: int = 10
    most: int = 20


_EIGHT = (1.0,) * 8
TRUTHS = (
    Truth("eight equal candidates", (0.0,) * 8, _EIGHT),
    Truth("eight equal candidates, 5 seeds planned", (0.0,) * 8, _EIGHT, seeds=5, most=10),
    Truth("eight equal candidates, seeds shared", (0.0,) * 8, _EIGHT, shared=3.0),
    Truth("eight equal candidates, unequal spread", (0.0,) * 8, (0.1, 0.2, 0.5, 1, 1, 2, 5, 10)),
    Truth("eight equal candidates, skewed (exponential)", (0.0,) * 8, _EIGHT, shape="skewed"),
    Truth("eight equal candidates, heavy tails (t with 3 degrees)", (0.0,) * 8, _EIGHT, shape="heavy"),
    Truth("eight equal candidates, a tenth of the seeds fail", (0.0,) * 8, _EIGHT, failing=0.1),
    Truth("two equal candidates", (0.0,) * 2, (1.0,) * 2),
    Truth("two best, six worse by 0.5", (0.0, 0.0, *(0.5,) * 6), _EIGHT),
    Truth("one best by 0.5", (0.0, *(0.5,) * 7), _EIGHT),
    Truth("one best, noisiest", (0.0, *(0.5,) * 7), (3.0, *(0.3,) * 7)),
    Truth("one best, the others worse by 2 to 8", (0.0, 2, 3, 4, 5, 6, 7, 8), _EIGHT),
    Truth("one best, the others worse by 3 to 15", (0.0, 3, 4, 5, 6, 8, 10, 15), (1, 1, 1, 1, 1.5, 2, 2, 4)),
    Truth("two best, the others worse by 3 to 15", (0.0, 0.0, 4, 5, 6, 8, 10, 15), (1, 1, 1, 1, 1.5, 2, 2, 4)),
)
# Here the assumption of the t fails, and so does the bound: the best owes its mean to rare seeds.
BROKEN = Truth("the best wins by one seed in ten", (0.0, *(0.3,) * 7), (0.1,) * 8, shape="rare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"campaigns": arguments.campaigns, "error": ERROR, "cases": []}
    with ProcessPoolExecutor(arguments.processes) as processes:
        for case in processes.map(simulate, (*TRUTHS, BROKEN), [arguments.campaigns] * (len(TRUTHS) + 1)):
            report["cases"].append(case)
            percent = {
                name: f"{100 * case[name]:.2f}" for name in ("best_dropped", "low", "high", "contradicts", "spent")
            }
            print(
                f"{case['truth']}: one of the best dropped in {percent['best_dropped']} % "
                f"({percent['low']} to {percent['high']}), contradictions {percent['contradicts']} %; "
                f"{percent['spent']} % spent, {case['left']:.2f} left (full plan {case['full_left']:.2f})",
                flush=True,
            )
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def simulate(truth: Truth, campaigns: int) -> dict[str, Any]:
    """Return how races of these candidates end."""
    draw = random.Random(truth.name)
    race = planned(truth)
    best = {f"c{n}" for n, mean in enumerate(truth.means) if mean - min(truth.means) < _GOOD}
    wrong = contradicts = 0
    spent, left, full_left, length = [], [], [], []
    for _ in range(campaigns):
        values = drawn(draw, truth)
        looks = replay(race, values)
        dropped = {drop.candidate: drop.than for one in looks for drop in one.drops if drop.cause == "worse"}
        wrong += bool(dropped.keys() & best)
        spent.append(spent_images(race, looks) / planned_images(race))
        left.append(len(left_after(race, looks)))
        length.append(looks[-1].seeds)
        worse = full_plan(truth, values)
        contradicts += any((than, name) in worse for name, than in dropped.items())
        means = {
            name: statistics.fmean([v for v in own[: truth.seeds] if v is not None]) for name, own in values.items()
        }
        leader = min(means, key=means.__getitem__)
        full_left.append(len(values) - sum((name, leader) in worse for name in values))
    low, high = interval(wrong, campaigns)
    return {
        "truth": truth.name,
        "candidates": len(truth.means),
        "seeds": truth.seeds,
        "most_seeds": truth.most,
        "best_dropped": wrong / campaigns,
        "low": low,
        "high": high,
        "contradicts": contradicts / campaigns,
        "spent": statistics.fmean(spent),
        "left": statistics.fmean(left),
        "full_left": statistics.fmean(full_left),
        "seeds_at_the_end": statistics.fmean(length),
    }


def mean_of(values: list[float | None]) -> float:
    """Return the mean of the values that are known."""
    return statistics.fmean(value for value in values if value is not None)


def planned(truth: Truth) -> PlannedRace:
    """Return the race of these candidates, whose cells cost the same."""
    return PlannedRace(
        metric="fd",
        direction="lower",
        dataset="simulated",
        error=ERROR,
        seeds=list(range(truth.seeds)),
        most_seeds=truth.most,
        candidates=[RaceCandidate(name=f"c{n}", cells=[], images=1) for n in range(len(truth.means))],
    )


def drawn(draw: random.Random, truth: Truth) -> dict[str, list[float | None]]:
    """Return a value for each candidate and seed; None: the seed fails."""
    common = [draw.gauss(0, truth.shared) for _ in range(truth.most)]
    noise = _SHAPES[truth.shape]
    return {
        f"c{n}": [None if draw.random() < truth.failing else mean + shift + spread * noise(draw, n) for shift in common]
        for n, (mean, spread) in enumerate(zip(truth.means, truth.spreads, strict=True))
    }


def _heavy(draw: random.Random, place: int) -> float:
    return draw.gauss(0, 1) / math.sqrt(draw.gammavariate(1.5, 2) / 3)


def _rare(draw: random.Random, place: int) -> float:
    if place:
        return draw.gauss(0, 1)
    return draw.gauss(0, 1) + (-45.0 if draw.random() < 0.1 else 5.0)  # times a spread of 0.1


_SHAPES: dict[str, Callable[[random.Random, int], float]] = {
    "normal": lambda draw, place: draw.gauss(0, 1),
    "skewed": lambda draw, place: draw.expovariate(1) - 1,
    "heavy": _heavy,
    "rare": _rare,
}


def replay(race: PlannedRace, values: dict[str, list[float | None]]) -> list[RaceLook]:
    """Return the looks of a race with these values."""
    limits, looks = boundaries(race), list[RaceLook]()
    while places := next_places(race, looks):
        entrants = {}
        for name in left_after(race, looks):
            own = values[name][: places.stop]
            known = {seed: Value(value) for seed, value in enumerate(own) if value is not None}
            entrants[name] = Entrant(known, len(own) - len(known))
        looks.append(look(entrants, places.stop, limits, race.direction, dropped_as_worse(looks)))
    return looks


def full_plan(truth: Truth, values: dict[str, list[float | None]]) -> set[tuple[str, str]]:
    """Return the pairs (worse, better) that differ after all planned seeds, by the rule of `genbench compare`.

    That is the paired t where both have the same seeds, else Welch's, corrected by Holm over all pairs. Its other tests
    are left out: they decide nothing.
    """
    known = {
        name: {seed: value for seed, value in enumerate(own[: truth.seeds]) if value is not None}
        for name, own in values.items()
    }
    tests = {}
    for one, other in combinations([name for name, own in known.items() if len(own) > 1], 2):
        if known[one].keys() == known[other].keys():
            tests[one, other] = paired_t([known[one][seed] - value for seed, value in known[other].items()])
        else:
            tests[one, other] = welch([*known[other].values()], [*known[one].values()])
    adjusted = holm({pair: test.two_sided for pair, test in tests.items()})
    return {
        (one, other) if tests[one, other].mean > 0 else (other, one)
        for (one, other), p_value in adjusted.items()
        if p_value <= ERROR
    }


def interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a probability by Clopper and Pearson 1934, whose ends are found by bisection."""

    def tail(p: float, least: int) -> float:  # P(X >= least)
        if p <= 0 or p >= 1:
            return float(p >= 1 or least <= 0)
        logs = [
            math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
            + k * math.log(p) + (trials - k) * math.log1p(-p)
            for k in range(least)
        ]  # fmt: skip
        return 1 - math.fsum(map(math.exp, logs))

    def solve(least: int, wanted: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle, least) < wanted else (low, middle)
        return low

    outside = (1 - confidence) / 2
    return (solve(hits, outside) if hits else 0.0), (solve(hits + 1, 1 - outside) if hits < trials else 1.0)


if __name__ == "__main__":
    main()
