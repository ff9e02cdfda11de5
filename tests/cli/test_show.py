"""`genbench show`: plan, status and files, damaged ones included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from example_runs import cell, identity, stored

from genbench.api.evaluation import Unavailable
from genbench.cli.show import command
from genbench.commands import details
from genbench.errors import NoDataError, UsageError
from genbench.results.schema import CurvePoint, PlannedCell
from genbench.results.store import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    never = PlannedCell(id="never-1", identity=identity("never"))
    missing = [Unavailable("fid", "no weights")]
    made = stored(tmp_path / "run", cell("gan-a1", unavailable=missing), cell("gan-b2"), cell("cut-1"), never)
    made.cell_path("cut-1").write_bytes(b"{")
    made.sample_path("gan-a1").write_bytes(b"png")
    return made


def show(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False, catch_exceptions=False)
    return result.output


def test_a_run_names_every_cell_its_status_and_its_files(run: RunDirectory) -> None:
    text = show(run.path)
    assert [line.split()[0] for line in text.splitlines() if " · " in line] == ["ok", "ok", "damaged", "not"]
    assert f"samples: {run.sample_path('gan-a1')}" in text
    assert str(run.sample_path("gan-b2")) not in text
    assert "cells/cut-1.json: " in text


def test_json_of_a_run(run: RunDirectory) -> None:
    data = json.loads(show(run.path, "--json"))
    assert [(c["id"], c["status"]) for c in data["cells"]] == [
        ("gan-a1", "ok"), ("gan-b2", "ok"), ("cut-1", "damaged"), ("never-1", "not run"),
    ]  # fmt: skip
    assert list(data["damaged"]) == ["cells/cut-1.json"]


def test_one_cell_in_detail(run: RunDirectory) -> None:
    text = show(run.path, "--cell", "a1")
    for part in (
        "gan-a1", "generator: 3,000,000", "1,875 steps", "19 timed, 1 warm-up", "1,234 ±2% images/s",
        "fd-cnn = 34.57 ± 0.65 (n = 2,000, weights 1f0c, n_reference 8000)",
        "fid: n/a, no weights", "learning_rate = 0.0002", "gan.width = 64",
        "6,400 images  discriminator 0.07",
    ):  # fmt: skip
        assert part in text
    assert json.loads(show(run.path, "--cell", "a1", "--json"))["result"]["id"] == "gan-a1"


def test_a_curve_with_few_points_is_shown_among_the_others(tmp_path: Path) -> None:
    terms = [{"generator": 0.5 + n} | ({"diversity": n / 100} if n % 4 == 3 else {}) for n in range(40)]
    curves = [CurvePoint(step=n, images=32 * n, terms=found) for n, found in enumerate(terms)]
    made = stored(tmp_path / "run", cell("gan-a1", curves=curves))
    lines = [line for line in show(made.path, "--cell", "a1").splitlines() if "generator" in line and "images" in line]
    assert len(lines) == 10
    assert all("diversity" in line for line in lines)
    assert lines[-1].split()[0] == "1,248"


def test_the_sampled_weights_are_shown(tmp_path: Path) -> None:
    sampling = {"weights": "averaged", "batch_norm": "running statistics"}
    made = stored(tmp_path / "run", cell("gan-a1", sampling=sampling))
    assert "sampled: averaged weights, batch norm with running statistics" in show(made.path, "--cell", "a1")


def test_a_cell_that_did_not_run_shows_its_settings(run: RunDirectory) -> None:
    text = show(run.path, "--cell", "never")
    assert "not run" in text
    assert "batch_size = 32" in text


def test_an_ambiguous_part_lists_the_candidates(run: RunDirectory) -> None:
    with pytest.raises(UsageError, match="gan-a1, gan-b2"):
        show(run.path, "--cell", "gan")


def test_no_run_and_no_cells(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        show(tmp_path / "nothing")
    with pytest.raises(NoDataError):
        show(stored(tmp_path / "empty").path)


def test_a_run_of_many_cells_is_summarised_unless_they_are_asked_for(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write_cell(cell("gan-b2", status="failed", reason="it broke"))
    monkeypatch.setattr(details, "SUMMARISED", 3)
    text = show(run.path)
    assert "4 cells: 1 ok, 1 failed, 1 damaged, 1 not run" in text
    assert "gan · non-saturating · mini: 1 ok, 1 failed" in text and "1 × failed: it broke" in text
    assert "gan-a1" not in text and "cells/cut-1.json: " in text
    data = json.loads(show(run.path, "--json"))
    assert "cells" not in data and data["statuses"] == {"ok": 1, "failed": 1, "damaged": 1, "not run": 1}
    assert "gan-a1" in show(run.path, "--cells") and len(json.loads(show(run.path, "--cells", "--json"))["cells"]) == 4
    monkeypatch.undo()
    assert "gan-a1" not in show(run.path, "--summary")
