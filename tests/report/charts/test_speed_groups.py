"""Speeds of rows and windows, apart for each machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_runs import cell, comparability, identity, plan, stored

from genbench.report.charts.speed_groups import speed_groups
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import Throughput, Window


def test_a_speed_has_its_interval_and_its_windows(tmp_path: Path) -> None:
    windows = [Window(step=10 * n, steps=10, images=320, seconds=0.5, warmup=n == 1) for n in (1, 2)]
    table = make_table(stored(tmp_path / "run", cell(speed=1000.0, windows=windows)).read())
    (group,) = speed_groups(table)
    (row,) = group.rows
    assert (row.value, row.interval) == (1000.0, pytest.approx((980.0, 1010.0)))
    (own,) = row.windows
    assert (own.images, own.steps, own.seconds) == ((320, 640), (10, 20), (0.5, 1.0))
    assert (own.speeds, own.warmup) == ((640.0, 640.0), (True, False))


def test_other_machines_are_other_groups(tmp_path: Path) -> None:
    other = cell("vae-1", identity("vae"), comparability=comparability(threads=4))
    groups = speed_groups(make_table(stored(tmp_path / "run", cell(), other).read()))
    assert [group.condition for group in groups] == ["threads 2", "threads 4"]


def test_a_speed_that_is_too_uncertain_is_an_interval_without_a_value(tmp_path: Path) -> None:
    speed = Throughput(images_per_second=100.0, low=50.0, high=900.0, confidence=0.96, windows=9, steps_per_second=3.0)
    (group,) = speed_groups(make_table(stored(tmp_path / "run", cell(throughput=speed)).read()))
    assert (group.rows[0].value, group.rows[0].interval) == (None, (50.0, 900.0))


def test_cells_without_results_are_in_no_group(tmp_path: Path) -> None:
    from genbench.results.store import RunDirectory

    run = RunDirectory.create(tmp_path / "run", plan(cell()))
    assert speed_groups(make_table(run.read())) == []
