"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genbench.builtin.extractors.inception_weights import VARIABLE, find_weights
from genbench.cli import invoke
from genbench.commands.weights import inception_weights
from genbench.errors import UsageError


def test_weights_given_by_path_are_found_by_this_process_and_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "another")
    monkeypatch.chdir(tmp_path)
    Path("weights.pth").write_bytes(b"")
    with inception_weights("weights.pth"):
        assert os.environ[VARIABLE] == str(tmp_path / "weights.pth")  # a worker may have another working directory
        assert find_weights() == tmp_path / "weights.pth"
        with inception_weights(None):
            assert os.environ[VARIABLE] == str(tmp_path / "weights.pth")
    assert os.environ[VARIABLE] == "another"


def test_a_missing_weights_file_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--weights nowhere\.pth is not a file"):
        with inception_weights("nowhere.pth"):
            pass
    plan = tmp_path / "plan.toml"
    plan.write_text('weights = "nowhere.pth"\n')
    for arguments in (["--weights", "nowhere.pth"], ["--config", str(plan)]):
        assert invoke(["run", *arguments]) == 2
        assert "--weights nowhere.pth is not a file" in capsys.readouterr().err
