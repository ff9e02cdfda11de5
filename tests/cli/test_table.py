"""`genbench table`: the comparison table of one or more runs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from example_runs import cell, estimate, identity, reference, stored

import genbench
from genbench.cli import invoke
from genbench.cli.output import line_width
from genbench.cli.table import command
from genbench.errors import ExitCode, NoDataError, UsageError
from genbench.report.table.render import FORMATS
from genbench.results.schema import EvaluationPoint, PlannedCell


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


def test_over_seeds_gives_one_row_for_all_seeds(tmp_path: Path) -> None:
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


def test_several_seeds_are_one_row_unless_per_seed_is_given(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", *(cell(f"gan-{seed}", identity(seed=seed)) for seed in (0, 1))).path
    assert table(run) == table(run, "--over-seeds")
    assert "2 ok" in table(run)
    each = csv.DictReader(io.StringIO(table(run, "--per-seed", "--format", "csv")))
    assert [row["seed"] for row in each] == ["0", "1"]
    alone = stored(tmp_path / "alone", cell("gan-1")).path
    assert table(alone) == table(alone, "--per-seed")
    assert "n = 1 training seed" in table(alone)


def test_the_time_to_a_target(tmp_path: Path) -> None:
    points = [EvaluationPoint(step=n, images=32 * n, estimates=[estimate("fd-cnn", 50.0 - n)]) for n in (5, 10, 15)]
    asked = identity(recipe={"evaluate_every": 160})
    run = stored(tmp_path / "run", cell("gan-1", asked, evaluations=points)).path
    text = table(run, "--target", "fd-cnn=40", "--columns", "model,images to fd-cnn ≤ 40", "--format", "csv")
    assert text.splitlines()[1] == "cell,gan,320"
    for wrong, why in (
        ("fd-cn=40", "Did you mean 'fd-cnn'"),
        ("fd-cnn", "is not valid"),
        ("fd-cnn=nan", "is not valid"),
    ):
        with pytest.raises(UsageError, match=why):
            table(run, "--target", wrong)


def test_rows_are_chosen_by_their_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell(f"gan-{seed}", identity(seed=seed, recipe={"batch_size": 16 + seed})) for seed in range(3)]
    path = str(stored(tmp_path / "run", *cells).path)
    assert (
        invoke(
            [
                "table",
                path,
                "--where",
                "seed=0,2",
                "--where",
                "batch_size=18",
                "--where",
                "learning_rate=2e-4",
                "--columns",
                "id",
            ]
        )
        == 0
    )
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("gan")] == ["gan-2"]
    assert invoke(["table", path, "--where", "sed=0"]) == 2
    assert "No cell has a setting 'sed'. Did you mean 'seed'?" in capsys.readouterr().err
    assert invoke(["table", path, "--where", "seed"]) == 2


def test_reference_rows_can_be_left_out(tmp_path: Path) -> None:
    path = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"), references=(reference(),)).path
    assert "real held-out" in table(path) and "noise" in table(path)
    for format in FORMATS:
        text = table(path, "--no-references", "--format", format)
        assert "gan" in text and "real held-out" not in text
    found = genbench.load(path).table(references=False)
    assert [row["kind"] for row in found.records] == ["cell", "cell"]


def test_a_pipe_has_lines_of_120_characters_and_wide_has_every_column(tmp_path: Path) -> None:
    metrics = [estimate(f"metric-{n}", 10.0 + n) for n in range(12)]
    path = stored(tmp_path / "run", cell("gan-1", estimates=metrics), cell("vae-1", estimates=metrics)).path
    folded, wide = table(path), table(path, "--wide")
    assert max(map(len, folded.splitlines())) <= 120
    assert "Not shown: parameters, peak memory, metric-" in folded
    assert max(map(len, wide.splitlines())) > 200
    assert all(f"metric-{n}" in wide for n in range(12)) and "Not shown" not in wide


def test_a_terminal_has_its_own_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "66")
    assert line_width() == 120  # standard output is no terminal here
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    assert line_width() == 66
