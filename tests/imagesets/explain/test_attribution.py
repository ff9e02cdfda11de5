"""The division of a difference among choices: sums, orders, Shapley values, and errors of differences."""

from __future__ import annotations

import itertools
import random
import statistics as plain

import pytest
import torch

from genbench.imagesets.explain.attribution import MAX_EXACT, Measured, attribute, subsets_needed
from genbench.metrics import frechet
from genbench.metrics.standard_errors import make_blocks


def distance(changed: frozenset[str]) -> Measured:
    """A distance in which the choices interact, with changes of three blocks."""
    rng = random.Random("".join(sorted(changed)))
    value = sum(map(ord, changed)) + 0.1 * len(changed) ** 2
    return Measured(value, tuple(rng.random() for _ in range(3)))


@pytest.mark.parametrize("choices", ["", "a", "ab", "abc", "abcd", "abcdefg"])
def test_the_steps_sum_to_the_whole_difference(choices: str) -> None:
    found = attribute(list(choices), distance)
    assert [one.choice for one in found] == list(choices)
    whole = distance(frozenset(choices)) - distance(frozenset())
    assert sum(one.effect.value for one in found) == pytest.approx(whole.value, abs=1e-9)
    for block in range(3 if found else 0):
        assert sum(one.effect.changes[block] for one in found) == pytest.approx(whole.changes[block])
    if 0 < len(choices) <= MAX_EXACT:
        assert sum(one.mean.value for one in found if one.mean) == pytest.approx(whole.value)


def test_the_mean_and_the_range_are_those_of_all_orders() -> None:
    choices = ["a", "b", "c"]
    effects: dict[str, list[float]] = {choice: [] for choice in choices}
    for order in itertools.permutations(choices):
        for place, choice in enumerate(order):
            before = frozenset(order[:place])
            effects[choice].append((distance(before | {choice}) - distance(before)).value)
    for one in attribute(choices, distance):
        assert one.mean is not None
        assert one.mean.value == pytest.approx(plain.mean(effects[one.choice]))
        assert (one.lowest, one.highest) == pytest.approx((min(effects[one.choice]), max(effects[one.choice])))


def test_many_choices_need_few_distances() -> None:
    assert len(subsets_needed([*"abcdefgh"])) == 9 + 7 + 7  # the order, each alone, each last
    assert all(one.mean is None for one in attribute([*"abcde"], distance))


def test_no_error_is_given_where_none_is_known() -> None:
    assert (Measured(2.0, (0.1, 0.2)) - Measured(1.0)).standard_error is None
    assert Measured(1.0).bias is None
    contributions = attribute(["a"], lambda changed: Measured(len(changed), (1.0, 2.0) if changed else ()))
    assert contributions[0].effect.standard_error is None
    assert contributions[0].mean is not None
    assert contributions[0].mean.standard_error is None


def test_the_error_of_a_difference_is_its_spread_over_repeated_samples() -> None:
    """Two protocols on the same images: features, and features of which one is a little distorted."""
    rng = torch.Generator().manual_seed(0)
    reference = torch.randn(400, 3, generator=rng).double()
    found, apart = [], []
    for _ in range(120):
        features = torch.randn(150, 3, generator=rng).double() * 1.3 + 0.3
        blocks = make_blocks(150, rng)
        values = []
        for distort in (0.0, 0.02):
            one, other = (part + distort * part.square() for part in (features, reference))
            fitted = frechet.statistics(other)
            changes = frechet.changes_without(one, fitted, blocks)
            values.append(Measured(frechet.frechet_distance(frechet.statistics(one), fitted), tuple(changes.tolist())))
        found.append(values[1] - values[0])
        apart.append(values[0])
    spread = plain.stdev(one.value for one in found)
    errors = [one.standard_error or 0.0 for one in found]
    assert plain.mean(errors) == pytest.approx(spread, rel=0.25)
    assert spread < 0.4 * plain.stdev(one.value for one in apart)  # smaller than the error of either value


def test_more_images_change_the_distance_by_what_is_extrapolated() -> None:
    rng = torch.Generator().manual_seed(1)
    reference = frechet.statistics(torch.randn(2000, 8, generator=rng).double())
    changes, expected = [], []
    for _ in range(60):
        features = torch.randn(400, 8, generator=rng).double() * 1.1
        part = features[:100]
        deleted = frechet.changes_without(part, reference, make_blocks(100, rng))
        few = Measured(frechet.frechet_distance(frechet.statistics(part), reference), tuple(deleted.tolist()))
        changes.append(frechet.frechet_distance(frechet.statistics(features), reference) - few.value)
        expected.append(few.change_with(100, 400))
    assert plain.mean(expected) == pytest.approx(plain.mean(changes), rel=0.15)
