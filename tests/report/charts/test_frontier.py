"""Quality against speed: what may be compared, and what is beaten."""

from __future__ import annotations

from pathlib import Path

from example_runs import cell, comparability, estimate, identity, reference, stored
from hypothesis import given
from hypothesis import strategies as st

from genbench.report.charts.frontier import (
    Frontier,
    FrontierPoint,
    _not_dominated,
    frontier,
    quality_columns,
    speed_columns,
)
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import CellResult


def chart(path: Path, *cells: CellResult) -> Frontier:
    table = make_table(stored(path / "run", *cells, references=(reference(),)).read())
    speed = next(column for column in speed_columns(table) if column.key == "images/s")
    quality = next(column for column in quality_columns(table) if column.key == "fd-cnn")
    return frontier(table, speed, quality)


def made(id: str, speed: float, fd: float, **changes: object) -> CellResult:
    return cell(id, speed=speed, estimates=[estimate("fd-cnn", fd, 1.0)], **changes)


def test_rows_that_nothing_beats_are_on_the_frontier_from_slow_to_fast(tmp_path: Path) -> None:
    shown = chart(tmp_path, made("a-1", 100, 10), made("b-1", 200, 20), made("c-1", 150, 30), made("d-1", 50, 10))
    (group,) = shown.groups
    assert [(point.row, point.speed, point.quality) for point in group.frontier] == [(0, 100, 10), (1, 200, 20)]
    assert group.points[0].quality_interval == (8, 12)
    assert group.points[0].speed_interval == (98, 101)
    lines = {line.name: line.value for line in shown.references}
    assert lines["real held-out"] == 1.25 and lines["noise"] == 912.3


def test_cells_of_other_machines_and_datasets_are_in_other_groups(tmp_path: Path) -> None:
    shown = chart(
        tmp_path,
        made("a-1", 100, 10),
        made("b-1", 200, 5, comparability=comparability(machine="other")),
        made("c-1", 300, 1, asked=identity("c", dataset="faces")),
    )
    assert [len(group.points) for group in shown.groups] == [1, 1, 1]
    assert all(group.frontier for group in shown.groups)


def test_a_failed_cell_beats_nobody(tmp_path: Path) -> None:
    (group,) = chart(tmp_path, made("a-1", 100, 10), made("b-1", 200, 5, status="diverged", reason="NaN")).groups
    assert [point.row for point in group.frontier] == [0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_a_row_is_on_the_frontier_exactly_if_no_other_is_better(points: list[tuple[int, int]]) -> None:
    made = [FrontierPoint(n, float(x), float(y), None, None) for n, (x, y) in enumerate(points)]
    expected = {
        n for n, (x, y) in enumerate(points) if not any(a >= x and b <= y and (a, b) != (x, y) for a, b in points)
    }
    assert _not_dominated(made, "higher", "lower") == expected
