"""Scaling efficiency: images/s by N processes over N × images/s by one, where a run holds both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, identity, stored

from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import Table
from genbench.report.table.scaling import SCALING
from genbench.results.schema import CellResult, Proof


def by(nproc: int, speed: float, device: str = "cuda", **changes: Any) -> CellResult:
    recipe = {"nproc": nproc, "nnodes": 1, **changes.pop("recipe", {})}
    return cell(f"gan-{nproc}-{len(changes)}", identity("gan", recipe=recipe, device=device), speed, **changes)


def shown(table: Table) -> list[str]:
    return [column.key for column in table.columns if column.shown]


def efficiencies(table: Table) -> list[object]:
    return [row.values[SCALING].raw if SCALING in row.values else None for row in table.rows if row.kind == "cell"]


def test_it_is_the_share_of_the_ideal_speed(tmp_path: Path) -> None:
    table = make_table(stored(tmp_path / "run", by(1, 1000), by(2, 1800), by(4, 2000)).read())
    assert efficiencies(table) == [None, pytest.approx(0.9), pytest.approx(0.5)]
    assert {"nproc", SCALING} <= set(shown(table))
    assert not table.footnotes


def test_on_a_cpu_a_footnote_says_that_one_process_has_all_processors(tmp_path: Path) -> None:
    table = make_table(stored(tmp_path / "run", by(1, 1000, "cpu"), by(2, 1000, "cpu")).read())
    assert efficiencies(table) == [None, pytest.approx(0.5)]
    assert "1/N means equally fast" in table.footnotes[0][1]


def test_without_the_cell_of_one_process_or_its_speed_it_stays_empty(tmp_path: Path) -> None:
    only = make_table(stored(tmp_path / "only", by(2, 1800)).read())
    assert efficiencies(only) == [None]
    assert SCALING in shown(only)
    assert "2 processes" in only.caption
    not_trained = by(1, 1000, proof=Proof(trained=False))
    assert efficiencies(make_table(stored(tmp_path / "idle", not_trained, by(2, 1800)).read())) == [None, None]
    other_batch = by(1, 1000, recipe={"batch_size": 64})
    assert efficiencies(make_table(stored(tmp_path / "batch", other_batch, by(2, 1800)).read())) == [None, None]


def test_a_run_of_single_processes_has_no_such_column(tmp_path: Path) -> None:
    table = make_table(stored(tmp_path / "run", by(1, 1000)).read())
    assert SCALING not in [column.key for column in table.columns if column.shown or column.exported]
    assert "process" not in table.caption
