"""A run directory from elsewhere: no command runs the plugin files that it names unless the user says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import warm
from command_line import TINY

COMMANDS = [
    "run --resume RUN",
    "sample RUN --cell vae --out OUT.png",
    "fid RUN:vae RUN:vae --extractor fashion-cnn",
    "measure RUN --metrics diversity --in-process",
    "show RUN",
    "show RUN --cell vae",
    "table RUN",
    "report RUN",
    "history RUN",
    "compare RUN RUN",
    "compare RUN",
    "power RUN --detect 5%",
    "baseline update RUN --baseline OUT.json",
    "archive RUN --out OUT.zip",
    "board RUN --out OUT",
    "board --check RUN --checks OUT.json",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = warm.run(*TINY, "--models", "vae", "--set", "vae.hidden=16", out=tmp_path_factory.mktemp("own") / "run")
    assert done.code == 0, done.err
    return done.run


@pytest.fixture
def foreign(run: Path, tmp_path: Path) -> Path:
    """A copy of the run whose plan names a plugin file and a model of it."""
    copy = tmp_path / "foreign"
    shutil.copytree(run, copy)
    evil = tmp_path / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    record = json.loads((copy / "run.json").read_text())
    record["plugin_files"] = [str(evil)]
    record["cells"][0]["identity"]["family"]["name"] = "evil"
    (copy / "run.json").write_text(json.dumps(record))
    return copy


def arguments(command: str, run: Path, folder: Path) -> list[str]:
    return [word.replace("RUN", str(run)).replace("OUT", str(folder / "out")) for word in command.split()]


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_code_of_a_foreign_run(command: str, foreign: Path, tmp_path: Path, finished: bool) -> None:
    if not finished:
        for path in (foreign / "cells").iterdir():
            path.unlink()
    done = warm.command(*arguments(command, foreign, tmp_path))
    assert not (tmp_path / "ran").exists()
    assert done.returncode in (0, 2, 3, 5)
    assert "Traceback" not in done.stderr
    if "--resume" in command:
        assert done.returncode == 2
        assert "no command of yours on this machine recorded" in done.stderr
        assert "--trust-plugins" in done.stderr


def test_built_in_metrics_of_built_in_models_need_no_plugin_file_of_a_foreign_run(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "foreign"))
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "plugin_files": ["/evil.py"]}))
    done = warm.command("measure", str(copy), "--metrics", "diversity", "--in-process", "--quiet")
    assert done.returncode == 0, done.stderr
    done = warm.command("measure", str(copy), "--metrics", "evil", "--in-process", "--quiet")
    assert done.returncode == 2
    assert "no command of yours on this machine recorded: /evil.py" in done.stderr


@pytest.mark.parametrize("allowed", ["--trust-plugins", "--plugin evil.py"])
def test_the_user_may_allow_it(foreign: Path, tmp_path: Path, allowed: str) -> None:
    done = warm.command("sample", str(foreign), "--cell", "vae", "--out", "o.png", *allowed.split(), cwd=tmp_path)
    assert (tmp_path / "ran").exists(), done.stderr


def test_trusting_is_for_existing_runs(tmp_path: Path) -> None:
    done = warm.command("run", "--trust-plugins", cwd=tmp_path)
    assert done.returncode == 2
    assert "--resume" in done.stderr
