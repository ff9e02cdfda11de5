"""The null plugin, installed for real, runs like any other model."""

from __future__ import annotations

import json
from pathlib import Path

import warm


def test_a_run_of_the_null_model_is_ok_and_has_nothing_to_train(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["run", "--models", "null", "--profile", "smoke", "--metrics", "none"]
    done = warm.command(*command, "--out", str(out))
    assert done.returncode == 0, done.stderr
    (file,) = (out / "cells").glob("null-*.json")
    cell = json.loads(file.read_text())
    assert cell["status"] == "ok"
    assert sum(cell["parameters"].values()) == 0
    assert cell["throughput"]["images_per_second"] > 0
    origin = {"plugin": "null", "distribution": "genbench-null", "version": "0.1.0"}
    assert cell["identity"]["model"]["origin"] == origin
