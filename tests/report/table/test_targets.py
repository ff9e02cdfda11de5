"""Time to quality in the table: images and seconds, or why there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_runs import cell, comparability, estimate, identity, plan, stored

from genbench.api.evaluation import Direction
from genbench.errors import UsageError
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import DAGGER, Table
from genbench.report.table.targets import find_targets
from genbench.results.schema import CellResult, EvaluationPoint, Target, Window
from genbench.results.store import RunDirectory

IMAGES, SECONDS = "images to fd-cnn ≤ 40", "seconds to fd-cnn ≤ 40"
TARGET = Target(metric="fd-cnn", value=40.0, direction="lower")


def course(
    id: str, *values: float, seed: int = 0, every: int = 3000, way: Direction = "lower", **changes: object
) -> CellResult:
    """Return a cell that was evaluated after every 3,000 images, 2 seconds of training each."""
    points = [
        EvaluationPoint(step=100 * n, images=3000 * n, estimates=[estimate("fd-cnn", value, direction=way)])
        for n, value in enumerate(values, start=1)
    ]
    windows = [Window(step=100 * n, steps=100, images=3000, seconds=2.0) for n in range(1, len(values) + 1)]
    asked = identity(id.partition("-")[0], seed=seed, recipe={"evaluate_every": every})
    last = [estimate("fd-cnn", values[-1], direction=way)]
    fields: dict[str, object] = {"evaluations": points, "windows": windows, "estimates": last}
    return cell(id, asked, **fields | changes)


def table_of(path: Path, *cells: CellResult, over_seeds: bool = False, target: Target = TARGET) -> Table:
    return make_table(stored(path, *cells).read(), over_seeds=over_seeds, targets=[target])


def texts(table: Table, key: str) -> list[str]:
    return [row.values[key].text if key in row.values else "–" for row in table.rows]


def said(table: Table, row: int, key: str) -> list[str]:
    return [text for mark, text in table.footnotes if mark in table.rows[row].values[key].marks]


def test_images_and_seconds_until_the_target_is_reached_for_good(tmp_path: Path) -> None:
    table = table_of(tmp_path / "run", course("gan-1", 90, 30, 60, 35, 30), course("vae-1", 50, 45))
    assert texts(table, IMAGES) == ["12,000", "not reached"]
    assert texts(table, SECONDS) == ["8.00", "not reached"]
    assert "with an evaluation every 3,000 images" in said(table, 0, IMAGES)[0]
    assert "late by at most that many" in said(table, 0, SECONDS)[0]
    assert [column.key for column in table.columns if column.direction == "lower"][-2:] == [IMAGES, SECONDS]


def test_where_higher_is_better_the_sign_is_turned(tmp_path: Path) -> None:
    cells = [course("vae-1", 10.0, 20.0, 21.0, way="higher")]
    table = table_of(tmp_path / "run", *cells, target=Target(metric="fd-cnn", value=20.0, direction="higher"))
    assert texts(table, "images to fd-cnn ≥ 20") == ["6,000"]


def test_a_cell_that_was_not_evaluated_on_the_way_cannot_say_when(tmp_path: Path) -> None:
    table = table_of(tmp_path / "run", course("gan-1", 30, every=0), course("vae-1", 50, every=0))
    assert texts(table, IMAGES) == ["n/a", "not reached"]
    assert "--evaluate-every" in said(table, 0, IMAGES)[0]


def test_what_came_of_the_cell_counts(tmp_path: Path) -> None:
    lost = course("gan-1", 30, 30, status="diverged", reason="NaN", estimates=[])
    broken = course("dcgan-1", 30, 30, status="timeout", reason="too slow", estimates=[])
    without = cell("vae-1", estimates=[], evaluations=[EvaluationPoint(step=1, images=32)])
    table = table_of(tmp_path / "run", lost, broken, without)
    assert texts(table, IMAGES) == ["not reached", "–", "–"]


def test_over_seeds_the_mean_is_over_those_that_reached_it_and_says_how_many(tmp_path: Path) -> None:
    cells = [
        course(f"gan-s{seed}", *values, seed=seed)
        for seed, values in enumerate([(90, 30, 30), (30, 30, 30), (90, 90, 90)])
    ]
    table = table_of(tmp_path / "run", *cells, over_seeds=True)
    assert table.rows[0].values[IMAGES].raw == 4500.0
    assert table.rows[0].values[IMAGES].parts["standard_error"] == pytest.approx(1500.0)
    assert f"{IMAGES}: reached by 2 of 3 seeds" in said(table, 0, IMAGES)
    never = table_of(tmp_path / "never", *(course(f"gan-s{s}", 90, 80, seed=s) for s in (0, 1)), over_seeds=True)
    assert texts(never, IMAGES) == ["not reached"]
    one = table_of(tmp_path / "one", cells[0], course("gan-s1", 90, seed=1), over_seeds=True)
    assert f"{SECONDS}: reached by 1 of 2 seeds" in said(one, 0, SECONDS)
    assert texts(one, SECONDS) == ["4.00"]


def test_the_targets_of_a_plan_are_shown_without_being_asked_for(tmp_path: Path) -> None:
    result = course("gan-1", 90, 30)
    run = RunDirectory.create(tmp_path / "run", plan(result, targets=[TARGET]))
    run.write_cell(result)
    assert texts(make_table(run.read()), IMAGES) == ["6,000"]
    other = make_table(run.read(), targets=find_targets([run.read()], [("fd-cnn", 10.0), ("fd-cnn", 95.0)]))
    keys = [column.key for column in other.columns]
    assert IMAGES not in keys
    assert texts(other, "images to fd-cnn ≤ 10") + texts(other, "images to fd-cnn ≤ 95") == ["not reached", "3,000"]


def test_a_metric_that_nobody_measured_is_refused_with_the_near_miss(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", course("gan-1", 90, 30)).read()
    with pytest.raises(UsageError, match="Did you mean 'fd-cnn'"):
        find_targets([run], [("fd-cn", 1.0)])
    assert find_targets([run], [("fd-cnn", 1.0)])[0].direction == "lower"


def test_seconds_on_another_machine_do_not_compare_and_images_do(tmp_path: Path) -> None:
    other = course("vae-1", 90, 30, comparability=comparability(machine="Intel Xeon"))
    table = table_of(tmp_path / "run", course("gan-1", 30, 30), other)
    assert all(DAGGER in row.values[SECONDS].marks for row in table.rows)
    assert not any(DAGGER in row.values[IMAGES].marks for row in table.rows)
