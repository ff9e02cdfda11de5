"""A speed under heavy disturbance is not shown as a number; the numbers stay in the cell's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_runs import cell, changed, identity, stored

from genbench.cli import invoke
from genbench.report.progress import outcome
from genbench.results.schema import Throughput

DISTURBED = Throughput(images_per_second=18.0, low=9.0, high=61.56, confidence=0.5, windows=2, steps_per_second=0.5)


@pytest.fixture
def run(tmp_path: Path) -> str:
    one = changed(cell("gan-0", identity(seed=0)), throughput=DISTURBED)
    stored(tmp_path / "run", one, cell("gan-1", identity(seed=1), speed=1000.0))
    return str(tmp_path / "run")


def test_the_table_shows_a_reason_instead_of_the_number(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["table", run, "--per-seed", "--columns", "seed,images/s"]) == 0
    text = capsys.readouterr().out
    assert "n/a" in text
    assert "18" not in text.replace("1,000 ±2%", "")
    assert "±242 %; a speed is shown up to ±100 %" in text


def test_programs_get_the_interval_and_no_number_to_compare(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["table", run, "--per-seed", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["images/s"]["value"] for row in rows] == [None, 1000.0]
    assert rows[0]["images/s"]["high"] == 61.56
    stored_cell = json.loads((Path(run) / "cells" / "gan-0.json").read_text())
    assert stored_cell["throughput"]["images_per_second"] == 18.0


def test_a_mean_over_seeds_is_without_it_and_says_so(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["table", run, "--over-seeds"]) == 0
    text = capsys.readouterr().out
    assert "images/s: over 1 of 2 seeds" in text
    assert "±242 %" in text


def test_show_and_progress_do_not_state_it_as_a_result(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["show", run, "--cell", "gan-0"]) == 0
    assert "images/s: n/a, between 9.00 and 61.6" in capsys.readouterr().out
    assert "images/s n/a (±242 %)" in outcome(changed(cell(), throughput=DISTURBED))
