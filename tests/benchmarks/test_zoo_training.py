"""The training of the zoo: whole comparisons first, and it goes on where it was stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import train_zoo as train


def test_every_model_has_seed_0_before_any_has_another() -> None:
    assert [stage.seed for stage in train.STAGES] == [0, 0, 1, 2]
    assert {stage.plan for stage in train.STAGES[:2]} == {"zoo-known", "zoo-others"}
    assert len({stage.name for stage in train.STAGES}) == len(train.STAGES)
    assert all((train.PLANS / f"{stage.plan}.toml").is_file() for stage in train.STAGES)


def test_a_stage_is_begun_once_and_then_resumed(tmp_path: Path) -> None:
    stage = train.STAGES[2]
    begun = " ".join(train.command(stage, 24_000, 2, tmp_path))
    assert "zoo-known.toml --seeds 1 --images 24000" in begun
    assert begun.endswith("--parallel 2 --timing shared")
    (tmp_path / stage.name).mkdir()
    (tmp_path / stage.name / "run.json").write_text("{}", encoding="ascii")
    assert train.command(stage, 24_000, 2, tmp_path) == ["run", "--resume", str(tmp_path / stage.name)]


def test_an_interrupted_stage_ends_the_training_and_failed_cells_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = iter([5, 130])
    monkeypatch.setattr(subprocess, "run", lambda *_: SimpleNamespace(returncode=next(codes)))
    done: list[Any] = list(train.train(100, 1, tmp_path))
    assert [stage.name for stage in done] == ["known-0"]
