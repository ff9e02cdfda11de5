"""`genbench board`: the site, and the check of a submitted run by training its beginning again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from command_line import TINY
from example_runs import cell, stored

import genbench
from genbench.cli import invoke
from genbench.errors import ExitCode


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = ("--models", "gan,vae", "--set", "gan.width=8", "--set", "vae.hidden=16", "--batch-size", "8")
    done = warm.run(*TINY, *models, "--quiet", out=tmp_path_factory.mktemp("runs") / "run")
    assert done.code == 0, done.err
    return done.run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def edit(run: Path, change: Callable[[Any], object]) -> None:
    for path in (run / "cells").glob("*.json"):
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))


def check(run: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    done = warm.command("board", "--check", str(run), "--checks", str(run.parent / "checks.json"), "--json", *arguments)
    found = json.loads(done.stdout)[0]["check"] if done.stdout else {}
    return done.returncode, found, done.stderr


def test_a_run_is_reproduced_bit_for_bit_and_the_board_says_so(run: Path, tmp_path: Path) -> None:
    code, found, errors = check(run)
    assert (code, found["verdict"]) == (0, "reproduced"), errors
    assert "2 of 2 cells" in found["reason"]
    assert "bit for bit" in found["reason"]
    site = tmp_path / "site"
    genbench.board(run, out=site, checks=tmp_path / "checks.json")
    assert "1 reproduced" in (site / "index.html").read_text()
    edit(run, lambda data: data["notes"].append("changed afterwards"))
    genbench.board(run, out=site, checks=tmp_path / "checks.json")
    assert "1 not checked" in (site / "index.html").read_text()


def test_changed_losses_differ(run: Path) -> None:
    def change(data: Any) -> None:
        terms = data["curves"][0]["terms"]
        terms[next(iter(terms))] *= 1 + 1e-6

    edit(run, change)
    code, found, _ = check(run)
    assert (code, found["verdict"]) == (ExitCode.REGRESSED, "differs")
    assert "bits should agree here" in found["reason"]


def test_another_machine_is_checked_within_the_effect_of_rounding(run: Path) -> None:
    def change(data: Any) -> None:
        data["comparability"]["machine"] = "another"
        for term in data["curves"][0]["terms"]:
            data["curves"][0]["terms"][term] *= 1 + 1e-6

    edit(run, change)
    code, found, _ = check(run)
    assert (code, found["verdict"]) == (0, "reproduced")
    assert "within the effect of rounding" in found["reason"]
    edit(run, lambda data: data["curves"][0]["terms"].update(dict.fromkeys(data["curves"][0]["terms"], 7.0)))
    assert check(run)[1]["verdict"] == "differs"


def test_a_plugin_file_is_not_run(run: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    record = json.loads((run / "run.json").read_text())
    record["plugin_files"] = [str(evil)]
    for planned in record["cells"]:
        planned["identity"]["model"]["name"] = "evil"
    (run / "run.json").write_text(json.dumps(record))
    edit(run, lambda data: data["identity"]["model"].update(name="evil"))
    code, found, _ = check(run)
    assert (code, found["verdict"]) == (ExitCode.FAILED_CELLS, "not checked")
    assert "Unknown model 'evil'" in found["reason"]
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_repeated_is_not_checked(run: Path) -> None:
    edit(run, lambda data: data.update(status="failed", reason="x"))
    code, found, _ = check(run)
    assert (code, found["verdict"]) == (ExitCode.FAILED_CELLS, "not checked")
    assert found["reason"] == "no cell ended as ok or collapsed"


def test_the_board_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = stored(tmp_path / "runs" / "one", cell("gan-1"))
    run.cell_path("torn-1").write_bytes(b"{")
    assert invoke(["board", str(tmp_path / "runs"), "--out", str(tmp_path / "site"), "--title", "Our <board>"]) == 0
    streams = capsys.readouterr()
    assert "1 runs, 1 of them read" in streams.out
    assert "Damaged: " in streams.err
    assert "Our &lt;board&gt;" in (tmp_path / "site" / "index.html").read_text()
    assert invoke(["board", str(tmp_path / "runs"), "--out", str(tmp_path / "site"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] > 0  # the title is the usual one again
    assert invoke(["board", str(tmp_path / "runs")]) == ExitCode.USAGE
    assert "--out is missing" in capsys.readouterr().err


def test_damaged_checks_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = stored(tmp_path / "one", cell("gan-1"))
    checks = tmp_path / "checks.json"
    for content, problem in (("{", "is damaged"), ('{"checks_version": 99}', "newer genbench")):
        checks.write_text(content)
        arguments = ["board", str(run.path), "--out", str(tmp_path / "site"), "--checks", str(checks)]
        assert invoke(arguments) == ExitCode.USAGE
        assert problem in capsys.readouterr().err


def test_missing_checks_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = stored(tmp_path / "one", cell("gan-1"))
    arguments = ["board", str(run.path), "--out", str(tmp_path / "site"), "--checks", str(tmp_path / "chekcs.json")]
    assert invoke(arguments) == ExitCode.USAGE
    assert "chekcs.json does not exist" in capsys.readouterr().err
