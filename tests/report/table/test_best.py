"""Ranks claim no more than the errors do: groups, the best value, and what never has one."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, comparability, estimate, identity, reference, stored

from genbench.report.table.best import ONE_SEED, OVER_SEEDS, Rank, ranks, separated, significance_groups
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import Table
from genbench.report.table.render import find_column
from genbench.results.schema import CellResult, Throughput
from genbench.stats.welch import Difference, Level, difference


def fd(id: str, value: float, error: float | None = 0.5, seed: int = 0, **changes: Any) -> CellResult:
    asked = identity(id.partition("-")[0], seed=seed)
    return cell(f"{id}-s{seed}", asked, estimates=[estimate("fd-cnn", value, error)], **changes)


def over(id: str, *values: float, **changes: Any) -> list[CellResult]:
    return [fd(id, value, seed=seed, **changes) for seed, value in enumerate(values)]


def ranked(path: Path, *cells: CellResult, column: str = "fd-cnn", over_seeds: bool = False) -> list[Rank | None]:
    return of(make_table(stored(path / "run", *cells, references=(reference(),)).read(), over_seeds=over_seeds), column)


def of(table: Table, column: str = "fd-cnn") -> list[Rank | None]:
    found = ranks(table.rows, find_column(table, column))
    marked = [column in row.values and row.values[column].best for row in table.rows]  # found without all ranks
    assert marked == [rank is not None and rank.best for rank in found]
    assert all(rank is None for row, rank in zip(table.rows, found, strict=True) if row.kind == "reference")
    return [rank for row, rank in zip(table.rows, found, strict=True) if row.kind == "cell"]


def texts(found: list[Rank | None]) -> list[str]:
    return [("" if rank is None else rank.text + ("*" if rank.best else "")) for rank in found]


def test_the_best_is_better_than_every_other_by_more_than_the_error(tmp_path: Path) -> None:
    assert texts(ranked(tmp_path / "clear", fd("b", 12.0), fd("a", 10.0), fd("c", 14.0))) == ["2", "1*", "3"]
    assert texts(ranked(tmp_path / "close", fd("b", 11.4), fd("a", 10.0), fd("c", 14.0))) == ["1", "1", "2"]


def test_a_value_between_two_that_are_separated_is_in_both_groups(tmp_path: Path) -> None:
    found = ranked(tmp_path, fd("a", 10.0), fd("b", 11.2), fd("c", 12.4))
    assert texts(found) == ["1", "1–2", "2"]


def test_where_higher_is_better_the_order_is_turned(tmp_path: Path) -> None:
    cells = [
        cell(id, estimates=[estimate("is", value, 0.1, direction="higher")])
        for id, value in (("a-1", 2.0), ("b-1", 3.0))
    ]
    assert texts(ranked(tmp_path, *cells, column="is")) == ["2", "1*"]


def test_one_seed_is_never_the_best_over_seeds(tmp_path: Path) -> None:
    best = ranked(tmp_path / "one", fd("a", 10.0), fd("b", 20.0))[0]
    assert best and best.best and not best.over_seeds and not best.best_over_seeds and best.seeds == 1
    cells = [*over("a", 10.0, 10.5, 9.8), *over("b", 20.0, 21.0, 19.0), fd("c", 30.0)]
    found = ranked(tmp_path / "mixed", *cells, over_seeds=True)
    assert texts(found) == ["1*", "2", "3"]
    assert [rank and rank.best_over_seeds for rank in found] == [False, False, False]
    assert [rank and rank.seeds for rank in found] == [3, 3, 1]


def test_over_seeds_the_spread_of_seeds_decides_and_not_the_error_of_sampling(tmp_path: Path) -> None:
    apart = [*over("a", 10.0, 10.5, 9.8), *over("b", 20.0, 21.0, 19.0)]
    found = ranked(tmp_path / "apart", *apart, over_seeds=True)
    assert texts(found) == ["1*", "2"]
    assert found[0] and found[0].best_over_seeds
    spread = [*over("a", 10.0, 30.0, 11.0), *over("b", 20.0, 21.0, 19.0)]
    assert texts(ranked(tmp_path / "spread", *spread, over_seeds=True)) == ["1", "1"]
    two = [*over("a", 10.0, 10.5), *over("b", 11.25, 11.75)]  # by 3.5 standard errors, of which two seeds know little
    assert texts(ranked(tmp_path / "two", *two, over_seeds=True)) == ["1", "1"]


@pytest.mark.parametrize("error", [None, 0.0])
def test_where_an_error_is_unknown_nothing_is_best(tmp_path: Path, error: float | None) -> None:
    found = ranked(tmp_path, fd("a", 10.0), fd("b", 20.0, error), fd("c", 30.0))
    assert texts(found) == ["1", "", "2"]


def test_only_values_under_the_same_conditions_are_ranked_together(tmp_path: Path) -> None:
    other = [estimate("fd-cnn", 1.0, protocol={"weights": "beef"})]
    cells = [fd("a", 10.0), fd("b", 20.0), cell("c-1", estimates=other), cell("d-1", identity(dataset="other"))]
    found = ranked(tmp_path / "protocol", *cells)
    assert texts(found) == ["1*", "2", "1", "1"]
    assert [rank and rank.compared for rank in found] == [2, 2, 1, 1]
    slow = comparability(machine="old")
    speeds = [cell("a-1", speed=100.0), cell("b-1", speed=200.0), cell("c-1", speed=900.0, comparability=slow)]
    speeds.append(cell("d-1", identity(dataset="other"), speed=950.0))
    assert texts(ranked(tmp_path / "machine", *speeds, column="images/s")) == ["2", "1*", "1", "1"]


@pytest.mark.parametrize("status", ["failed", "diverged", "timeout", "oom"])
def test_a_cell_that_did_not_end_well_has_no_rank(tmp_path: Path, status: str) -> None:
    assert texts(ranked(tmp_path, fd("a", 1.0, status=status), fd("b", 20.0), fd("c", 30.0))) == ["", "1*", "2"]


def test_a_speed_needs_windows_enough_for_an_interval(tmp_path: Path) -> None:
    few = Throughput(images_per_second=9000.0, low=8990, high=9010, confidence=0.75, windows=3, steps_per_second=1)
    found = ranked(tmp_path, cell("a-1", throughput=few), cell("b-1", speed=100.0), column="images/s")
    assert texts(found) == ["", "1"]


def test_what_has_neither_a_direction_nor_an_error_is_not_ranked(tmp_path: Path) -> None:
    cells = [cell("a-1"), cell("b-1")]
    for column in ("time", "parameters", "peak memory"):
        assert texts(ranked(tmp_path / column, *cells, column=column)) == ["", ""]


def test_a_number_that_is_the_same_for_every_seed_is_exact(tmp_path: Path) -> None:
    cells = [*over("a", 1.0, 1.0), *over("b", 2.0, 2.0), *over("c", 2.0, 2.0)]
    assert texts(ranked(tmp_path, *cells, over_seeds=True)) == ["1*", "2", "2"]


def test_two_values_share_a_group_if_they_are_not_separated() -> None:
    draw = random.Random(0)
    for _ in range(200):
        degrees = draw.choice([[math.inf], [1, 2, 9], [math.inf, 1, 4]])
        given = [Level(draw.uniform(0, 10), draw.choice([0, 0.1, 1, 3]), draw.choice(degrees)) for _ in range(12)]
        ordered = sorted(given, key=lambda level: level.value)
        groups = significance_groups(ordered)
        for one, other in itertools.combinations(range(len(ordered)), 2):
            together = any(first <= one and other <= last for first, last in groups)
            assert together or separated(ordered[one], ordered[other])
        assert all(not separated(ordered[first], ordered[last]) for first, last in groups)
        assert groups == sorted(set(groups)) and {n for a, b in groups for n in range(a, b + 1)} == set(range(12))
    assert significance_groups([]) == []


def test_where_both_kinds_are_marked_a_footnote_tells_them_apart(tmp_path: Path) -> None:
    cells = [
        cell(
            f"{model}-{seed}",
            identity(model, seed=seed),
            estimates=[estimate("fd-cnn", value + seed / 10), *([estimate("kd", value)] if seed == 0 else [])],
        )
        for model, value in (("a", 10.0), ("b", 20.0))
        for seed in (0, 1, 2)
    ]
    table = make_table(stored(tmp_path / "run", *cells).read(), over_seeds=True)
    assert table.best == OVER_SEEDS
    best = {key: value for key, value in table.rows[0].values.items() if value.best}
    assert set(best) == {"fd-cnn", "kd"}
    listing = dict(table.footnotes)
    assert ONE_SEED not in [listing[mark] for mark in best["fd-cnn"].marks]
    assert ONE_SEED in [listing[mark] for mark in best["kd"].marks]


def test_the_quantiles_that_decide_quickly_agree_with_the_p_value() -> None:
    draw = random.Random(3)
    for _ in range(2000):
        one, other = (Level(draw.gauss(0, 3), draw.uniform(0.1, 1), draw.choice([1, 2, 4, math.inf])) for _ in range(2))
        between = difference(one, other)
        p_value = Difference(abs(between.mean), between.standard_error, between.degrees).p_value(0.0)
        assert separated(one, other) == separated(other, one) == (p_value < 0.02275013194817921)
