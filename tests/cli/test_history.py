"""`genbench history`: series over runs, their changes, and the commits of the runs."""

from __future__ import annotations

import json
import math
import random
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command_line import TINY
from example_runs import cell, comparability, estimate, identity, plan
from warm import run as run_genbench

from genbench.cli import invoke
from genbench.measure.git_revision import commits
from genbench.results.store import RunDirectory


def store(place: Path, number: int, speed: float, score: float = 30.0, commit: str = "", **conditions: Any) -> Path:
    """Write the run of one day, with two seeds."""
    facts = comparability(**conditions)
    cells = [
        cell(
            f"gan-{seed}",
            identity(seed=seed),
            speed=speed * factor,
            estimates=[estimate("fd-cnn", score)],
            comparability=facts,
        )
        for seed, factor in ((0, 2.0), (1, 0.5))
    ]
    environment = {"commits": {"mine": {"commit": commit, "dirty": number == 1}}} if commit else {}
    record = plan(*cells, created=f"2026-01-{number + 1:02d}T00:00:00Z", environment=environment)
    run = RunDirectory.create(place / f"run-{number:02d}", record)
    for one in cells:
        run.write_cell(one)
    return run.path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Sixteen runs, slower from the eighth on, worse from the twelfth on; listed in another order."""
    place, rng = tmp_path_factory.mktemp("runs"), random.Random(0)
    paths = [
        store(
            place,
            number,
            (1000 if number < 8 else 800) * (1 + rng.gauss(0, 0.01)),
            (30 if number < 12 else 36) + rng.gauss(0, 0.2),
            f"{number:x}" * 40,
        )
        for number in range(16)
    ]
    rng.shuffle(paths)
    return [str(path) for path in paths]


def series(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert invoke(["history", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_changes_are_found_where_the_runs_changed_with_their_direction(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    speed, score = series(capsys, *runs)
    assert (speed["quantity"], score["quantity"]) == ("throughput", "fd-cnn")
    assert [point["run"] for point in speed["points"]] == [f"run-{number:02d}" for number in range(16)]
    assert speed["points"][3]["value"] == pytest.approx(1000, rel=0.05)  # the geometric mean of the two seeds
    assert [(change["index"], change["better"]) for change in speed["changes"]] == [(8, False)]
    assert [(change["index"], change["better"]) for change in score["changes"]] == [(12, False)]


def test_the_table_names_run_and_commit_and_the_exit_code_is_0(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["history", *runs, "--quantity", "throughput"]) == 0
    text = capsys.readouterr().out
    (row,) = (line for line in text.splitlines() if "worse" in line)
    assert row.split()[:3] == ["2026-01-09T00:00:00Z", "run-08", "8888888888"]
    assert "fd-cnn" not in text
    assert "An annotation, not a verdict" in text
    assert invoke(["history", *runs, "--all"]) == 0
    assert " 1111111111+ " in capsys.readouterr().out  # with uncommitted changes


def test_errors_are_those_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speed, score = series(capsys, str(store(tmp_path, 0, 1000)))
    (point,) = speed["points"]
    assert point["value"] == pytest.approx(1000)  # of 2,000 and 500 the geometric mean
    assert point["error"] == pytest.approx(1000 * math.log(2))
    assert score["points"][0]["error"] == 0  # both seeds have the same value


def test_other_machines_and_protocols_form_separate_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        str(store(tmp_path, number, 1000 if number < 6 else 100, threads=2 if number < 6 else 4))
        for number in range(12)
    ]
    here, score, elsewhere = series(capsys, *paths)
    assert [len(one["points"]) for one in (here, score, elsewhere)] == [6, 12, 6]
    assert [one["changes"] for one in (here, score, elsewhere)] == [[], [], []]
    assert "threads 4" in elsewhere["conditions"]


def test_the_figure_shows_every_run_and_every_change(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.svg"
    assert invoke(["history", *runs, "--out", str(path)]) == 0
    root = ElementTree.fromstring(path.read_text())
    space = "{http://www.w3.org/2000/svg}"
    groups = {group.get("id"): group for group in root.iter(f"{space}g")}
    assert [len(list(groups[f"runs-{number}"].iter(f"{space}use"))) for number in range(2)] == [16, 16]
    assert path.read_text().count(" worse -->") == 2  # letters are outlines; comments say what they write
    facts = path.with_suffix(".txt").read_text()
    assert "changes: run-08: " in facts and "changes: run-12: " in facts
    assert invoke(["history", *runs, "--out", str(tmp_path / "nowhere" / "a.svg")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_too_few_runs_are_reported_and_no_runs_are_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(store(tmp_path, 0, 1000))
    assert invoke(["history", one]) == 0
    assert "cannot show a change" in capsys.readouterr().out
    RunDirectory.create(tmp_path / "empty", plan())
    assert invoke(["history", str(tmp_path / "empty")]) == 5
    assert invoke(["history", str(tmp_path / "missing")]) == 2
    assert invoke(["history", one, "--quantity", "thruput"]) == 2
    assert "Did you mean 'throughput'?" in capsys.readouterr().err


def git(place: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_of_a_plugin_in_a_checkout_is_recorded_with_its_dirty_flag(tmp_path: Path) -> None:
    place = tmp_path / "checkout"
    place.mkdir()
    file = place / "mine.py"
    file.write_text("")
    assert "mine.py" not in commits(files=[file])
    git(place, "init", "-q")
    assert "mine.py" not in commits(files=[file])  # no commit yet
    git(place, "add", ".")
    git(place, "commit", "-qm", "first")
    head = git(place, "rev-parse", "HEAD")
    assert commits(files=[file])["mine.py"] == {"commit": head, "dirty": False}
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "mine.cpython-311.pyc").touch()  # as importing the plugin does
    assert commits(files=[file])["mine.py"] == {"commit": head, "dirty": False}
    file.write_text("# changed\n")
    assert commits(files=[file])["mine.py"] == {"commit": head, "dirty": True}
    assert "nowhere" not in commits(distributions=["nowhere", "pytest"])


def test_a_run_records_the_commits_of_its_plugins(tmp_path: Path) -> None:
    place = tmp_path / "checkout"
    place.mkdir()
    plugin = place / "mine.py"
    plugin.write_text("import genbench\n\n\n@genbench.hookimpl\ndef genbench_models():\n    return iter(())\n")
    git(place, "init", "-q")
    git(place, "add", ".")
    git(place, "commit", "-qm", "first")
    done = run_genbench(*TINY, "--models", "vae", "--plugin", str(plugin), "--quiet", out=tmp_path / "run")
    assert done.code == 0, done.err
    assert done.record.environment["commits"]["mine.py"] == {"commit": git(place, "rev-parse", "HEAD"), "dirty": False}


def test_runs_whose_machine_is_not_known_form_series_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = [str(store(tmp_path / "unknown", number, 1000.0, machine="aarch64")) for number in range(2)]
    known = [str(store(tmp_path / "known", number, 1000.0)) for number in range(2)]
    assert len([one for one in series(capsys, *known) if one["quantity"] == "throughput"]) == 1
    assert len([one for one in series(capsys, *unknown) if one["quantity"] == "throughput"]) == 2


def test_a_speed_under_heavy_disturbance_is_left_out_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store(tmp_path, 0, 1000.0)
    file = path / "cells" / "gan-1.json"
    content = json.loads(file.read_text())
    content["throughput"] |= {"images_per_second": 18.0, "high": 61.56}
    file.write_text(json.dumps(content))
    assert invoke(["history", str(path)]) == 0
    written = capsys.readouterr()
    assert "throughput ↑" not in written.out
    assert "is left out" in written.err
    assert "±242 % for seed 1" in written.err
