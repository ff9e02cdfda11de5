"""A race keeps what may be the best, within its error and its budget, whatever the order in which values arrive."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genbench.gate.race import (
    FIRST_LOOK,
    Boundaries,
    Entrant,
    Value,
    boundaries,
    dropped_as_worse,
    left_after,
    look,
    next_places,
    planned_images,
    seed_at,
    spent_images,
)
from genbench.results.schema import PlannedRace, RaceCandidate, RaceDrop, RaceLook
from genbench.stats.repeated_t import false_alarms

NAMES = "abcdefgh"
LIMITS = Boundaries(4, 10, 0.05)
finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 6))
tables = st.integers(FIRST_LOOK, 8).flatmap(
    lambda seeds: st.dictionaries(
        st.sampled_from(NAMES[:4]), st.lists(finite, min_size=seeds, max_size=seeds), min_size=2
    )
)


def entrants(values: Mapping[str, Sequence[float]]) -> dict[str, Entrant]:
    return {name: Entrant({seed: Value(value) for seed, value in enumerate(own)}) for name, own in values.items()}


def planned(candidates: int = 4, seeds: int = 5, most: int = 10, images: Sequence[int] = ()) -> PlannedRace:
    return PlannedRace(
        metric="fd",
        direction="lower",
        dataset="mini",
        error=0.05,
        seeds=list(range(seeds)),
        most_seeds=most,
        candidates=[
            RaceCandidate(name=NAMES[n], cells=[], images=images[n] if images else 1) for n in range(candidates)
        ],
    )


def drops(found: RaceLook) -> list[str]:
    return [drop.candidate for drop in found.drops]


def test_the_bounds_of_all_wrong_drops_add_up_to_the_error() -> None:
    for candidates in (2, 3, 8):
        limits = Boundaries(candidates, 20, 0.05)
        for best in range(1, candidates + 1):  # all others have been dropped rightly
            of_a_pair = false_alarms(limits.level(candidates - best), FIRST_LOOK, 20)
            assert 0.95 * 0.05 < best * (candidates - 1) * of_a_pair <= 0.05


def test_boundaries_are_quantiles_of_t() -> None:
    for seeds in (3, 5, 10):
        assert LIMITS.t(seeds) == pytest.approx(stats.t.isf(LIMITS.level(), seeds - 1), rel=1e-9)
    assert LIMITS.t(5, 2) < LIMITS.t(5) < LIMITS.t(4)


def test_the_decision_is_the_one_sided_paired_t_of_scipy() -> None:
    worse, better = [40.1, 41.3, 39.8, 40.9, 40.2], [20.3, 21.0, 20.1, 20.7, 19.6]
    (drop,) = look(entrants({"a": worse, "b": better}), 5, Boundaries(2, 10, 0.05), "lower").drops
    expected = stats.ttest_rel(worse, better, alternative="greater")
    assert (drop.candidate, drop.than, drop.cause, drop.seeds) == ("a", "b", "worse", 5)
    assert drop.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert drop.level == Boundaries(2, 10, 0.05).level()
    assert drop.difference == pytest.approx(19.92 + 0.2, abs=1e-9)
    assert not look(entrants({"a": better, "b": better}), 5, LIMITS, "lower").drops


@settings(max_examples=40)
@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_candidates_and_seeds_does_not_matter(values: dict[str, list[float]], draw: random.Random) -> None:
    names, places = list(values), list(range(len(next(iter(values.values())))))
    draw.shuffle(names)
    draw.shuffle(places)
    shuffled = {name: Entrant({place: Value(values[name][place]) for place in places}) for name in names}
    assert look(shuffled, len(places), LIMITS, "lower") == look(entrants(values), len(places), LIMITS, "lower")


@settings(max_examples=40)
@given(tables, st.sampled_from(["lower", "higher"]))
def test_the_best_mean_is_never_dropped_and_every_drop_names_one_that_is_ahead(
    values: dict[str, list[float]], direction: str
) -> None:
    sign = 1 if direction == "lower" else -1
    found = look(entrants(values), 8, LIMITS, direction)  # type: ignore[arg-type]
    totals = {name: sign * sum(own) for name, own in values.items()}
    best = min(totals.values())
    assert not [name for name in drops(found) if totals[name] <= best]
    assert all(totals[drop.than] <= totals[drop.candidate] for drop in found.drops)
    assert len(drops(found)) < len(values)


@settings(max_examples=40)
@given(tables)
def test_turning_values_and_direction_around_changes_no_decision(values: dict[str, list[float]]) -> None:
    turned = {name: [-value for value in own] for name, own in values.items()}
    assert drops(look(entrants(values), 8, LIMITS, "lower")) == drops(look(entrants(turned), 8, LIMITS, "higher"))


@given(st.lists(st.integers(-50, 50), min_size=6, max_size=6), st.integers(1, 1000), st.integers(-1000, 1000))
def test_what_a_seed_does_to_all_candidates_cancels(noise: list[int], scale: int, shift: int) -> None:
    values = {"a": [float(n) for n in noise], "b": [n + 30.0 + n % 3 for n in noise], "c": [40.0 - n for n in noise]}
    moved = {name: [scale * v + shift * seed for seed, v in enumerate(own)] for name, own in values.items()}
    assert drops(look(entrants(values), 6, LIMITS, "lower")) == drops(look(entrants(moved), 6, LIMITS, "lower"))


def test_equal_candidates_are_dropped_no_more_often_than_the_error() -> None:
    draw, wrong, campaigns = random.Random(5), 0, 200
    race = planned(candidates=4, seeds=5, most=10)
    for _ in range(campaigns):
        shared = [draw.gauss(0, 2) for _ in range(10)]
        values = {name: [one + draw.gauss(0, 1 + n) for one in shared] for n, name in enumerate(NAMES[:4])}
        wrong += any(one.drops for one in replay(race, values))
    assert wrong <= 18  # of 200: more has a probability below 1 % at 5 %


def replay(race: PlannedRace, values: Mapping[str, Sequence[float]]) -> list[RaceLook]:
    looks: list[RaceLook] = []
    while places := next_places(race, looks):
        known = entrants({name: values[name][: places.stop] for name in left_after(race, looks)})
        looks.append(look(known, places.stop, boundaries(race), race.direction, dropped_as_worse(looks)))
    return looks


def test_differences_without_spread_drop_nobody() -> None:
    assert not look(entrants({"a": [8.0] * 9, "b": [7.0] * 9}), 9, LIMITS, "lower").drops
    assert not look(
        entrants({"a": [0.3, 0.9, 0.7], "b": [0.2, 0.8, 0.6]}), 3, LIMITS, "lower"
    ).drops  # but for rounding


def test_one_failed_seed_is_no_evidence_and_two_drop_the_candidate_as_failing() -> None:
    good, bad = [10.0, 10.4, 9.7, 10.1, 10.2, 9.9], [30.0, 31.0, 29.5, 30.2, 30.4, 29.9]
    both = entrants({"a": good, "b": bad})
    del (values := dict(both["b"].values))[0]
    (drop,) = look({**both, "b": Entrant(values, 1)}, 6, LIMITS, "lower").drops
    assert (drop.candidate, drop.cause, drop.seeds) == ("b", "worse", 5)
    failing = {**both, "a": Entrant({s: Value(v) for s, v in enumerate(good) if s > 1}, 2)}
    found = look(failing, 6, LIMITS, "lower")
    assert [(drop.candidate, drop.cause, drop.failures) for drop in found.drops] == [("a", "failing", 2)]
    assert dropped_as_worse([found]) == 0  # it may be the best: the others get no easier boundary


def test_values_of_different_protocols_are_not_compared() -> None:
    other = {seed: Value(50.0 + seed, "other") for seed in range(8)}
    found = look({**entrants({"a": [1.0, 1.1, 0.9, 1, 1, 1, 1, 1]}), "b": Entrant(other)}, 8, LIMITS, "lower")
    assert not found.drops


@given(
    st.lists(st.integers(1, 10), min_size=2, max_size=6),
    st.integers(3, 6),
    st.integers(0, 10),
    st.randoms(use_true_random=False),
)
def test_a_race_ends_within_the_images_of_the_full_plan(
    images: list[int], seeds: int, more: int, draw: random.Random
) -> None:
    race = planned(len(images), seeds, seeds + more, images)
    looks: list[RaceLook] = []
    while places := next_places(race, looks):
        left = left_after(race, looks)
        assert len(left) > 1
        gone = draw.sample(left, draw.choice([0, 0, 0, 1]))
        looks.append(
            RaceLook(seeds=places.stop, standings=[], drops=[RaceDrop(candidate=name, cause="worse") for name in gone])
        )
        assert spent_images(race, looks) <= planned_images(race)
        assert len(looks) <= race.most_seeds
    if not any(one.drops for one in looks):
        assert looks[-1].seeds == seeds  # nothing was saved, so nothing is added


def test_seeds_beyond_the_planned_ones_follow_the_largest() -> None:
    race = planned(seeds=4)
    race.seeds[:] = [7, 3, 100, 0]
    assert [seed_at(race, place) for place in range(6)] == [7, 3, 100, 0, 101, 102]
