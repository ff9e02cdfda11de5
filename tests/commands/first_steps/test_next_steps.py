"""What `genbench` suggests on a terminal, from the runs that it finds."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genbench.cli import COMMANDS
from genbench.commands.first_steps.next_steps import FIRST, next_steps
from genbench.results.run_lock import hold

EXAMPLE = Path(__file__).parents[3] / "results" / "reference" / "quick"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_steps_are_commands() -> None:
    assert {command.split()[1] for command, _ in FIRST} <= COMMANDS.keys()


def test_without_runs_it_names_the_first_steps(place: Path) -> None:
    assert [step.command for step in next_steps(place)] == [command for command, _ in FIRST]


def test_an_interrupted_run_comes_first_and_a_running_one_is_only_shown(place: Path) -> None:
    finished, interrupted = place / "results" / "whole", place / "results" / "it's half"
    for path in (finished, interrupted):
        shutil.copytree(EXAMPLE, path, ignore=shutil.ignore_patterns("*.png", "*.safetensors", "*.log"))
        (path / "report.html").touch()
    next((interrupted / "cells").glob("*.json")).unlink()
    (interrupted / "report.html").unlink()
    (place / "plan.toml").touch()
    steps = next_steps(place)
    assert steps[0].command == "genbench run --resume 'results/it'\"'\"'s half'"
    assert "2 of 3 cells" in steps[0].reason
    assert [step.command for step in steps[1:]] == [
        "genbench table results/whole",
        "genbench run --config plan.toml --dry-run",
    ]
    with hold(interrupted / "run.json"):
        assert next_steps(place)[0].command.startswith("genbench show")


def test_what_is_damaged_is_passed_over(place: Path) -> None:
    (place / "results" / "broken").mkdir(parents=True)
    (place / "results" / "broken" / "run.json").write_text("{")
    (place / "file").touch()
    assert next_steps(place)[0].command == FIRST[0][0]


def test_a_terminal_gets_next_steps_and_a_pipe_the_help(place: Path) -> None:
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "genbench"]
    done = subprocess.run(line, stdout=theirs, stderr=subprocess.PIPE, cwd=place, check=False)
    os.close(theirs)
    assert b"genbench init" in os.read(ours, 4096)
    os.close(ours)
    assert done.returncode == 0
    piped = subprocess.run(line, capture_output=True, text=True, cwd=place, check=False)
    assert piped.returncode == 2
    assert "Commands:" in piped.stderr
