"""`genbench table`: the comparison of one or more runs on standard output."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from example_runs import cell, identity, stored

from genbench.cli.table import command
from genbench.errors import ExitCode, NoDataError, UsageError
from genbench.results.schema import PlannedCell


def table(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False, catch_exceptions=False)
    return result.output


def test_two_runs_in_one_table(tmp_path: Path) -> None:
    first = stored(tmp_path / "monday", cell("gan-1", speed=900.0)).path
    second = stored(tmp_path / "tuesday", cell("gan-1", speed=1100.0)).path
    text = table(first, second, "--format", "csv", "--columns", "run, images/s", "--sort", "-images/s")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["run"], float(row["images/s"])) for row in rows] == [("tuesday", 1100.0), ("monday", 900.0)]


def test_plain_is_the_default(tmp_path: Path) -> None:
    assert "1,234 ±2%" in table(stored(tmp_path / "run", cell("gan-1")).path)


def test_bad_input(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1")).path
    with pytest.raises(UsageError, match="Did you mean 'latex'"):
        table(run, "--format", "latx")
    with pytest.raises(UsageError, match="Did you mean 'model'"):
        table(run, "--columns", "modle")
    with pytest.raises(UsageError, match="does not exist"):
        table(tmp_path / "nowhere")


def test_nothing_measured_is_no_data(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", PlannedCell(id="gan-1", identity=identity()))
    with pytest.raises(NoDataError, match="--resume") as caught:
        table(run.path)
    assert caught.value.exit_code == ExitCode.FAILED_CELLS


def test_over_seeds_is_one_row_for_all_of_them(tmp_path: Path) -> None:
    cells = [cell(f"gan-{seed}", identity(seed=seed), speed=1000.0 + 10 * seed) for seed in (0, 1)]
    run = stored(tmp_path / "run", *cells, cell("vae-0", identity("vae"), speed=10.0)).path
    text = table(run, "--over-seeds", "--format", "csv", "--sort", "images/s", "--columns", "model,seeds,images/s")
    assert text.splitlines() == [
        "kind,model,seeds,images/s,images/s standard_error",
        "cell,vae,1,10.0,",
        "cell,gan,2,1005.0,5.0",
    ]
    with pytest.raises(UsageError, match="Did you mean 'seeds'"):
        table(run, "--over-seeds", "--sort", "seed")
