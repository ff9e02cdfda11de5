"""The script for the first day of a GPU runs every stage, within its limits, and goes on after failures."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import step_probe
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "gpu"


def rehearse(*arguments: str, **variables: str) -> tuple[int, list[dict[str, Any]], str]:
    """Return the exit code, the line of each stage, and the last line."""
    command = [sys.executable, str(FOLDER / "day_one.py"), "--device", "cpu", "--rehearse", *arguments]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    *lines, last = done.stdout.splitlines() or [done.stderr]
    return done.returncode, [json.loads(line) for line in lines], last


def test_stages_pass_or_run_out_of_time_and_each_has_a_line(tmp_path: Path) -> None:
    out = tmp_path / "new" / "day.jsonl"
    code, lines, last = rehearse("--only", "doctor,smoke", "--out", str(out))
    assert (code, last) == (0, "DAY ONE: 2 passed, 0 failed"), lines
    assert [json.loads(line) for line in out.read_text().splitlines()] == lines
    assert lines[0]["result"]["passed"] is True
    assert [cell["status"] for cell in lines[1]["result"]] == ["ok"]
    code, lines, last = rehearse("--only", "smoke,failing-cells", "--minutes", "0.03")
    assert (code, last) == (1, "DAY ONE: 0 passed, 2 failed")
    assert lines[0]["reason"] == "not finished within 2 s"
    assert lines[1]["reason"] == "no time was left"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_that_a_cpu_can_try_in_steps_with_the_settings_of_a_run(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code, lines, last = rehearse(**step_probe.environment("settings_of_steps", STEPS_SEEN=str(seen)))
    assert code == 0, [line for line in lines if line["passed"] is False]
    passed = {line["stage"] for line in lines if line["passed"]}
    assert last == f"DAY ONE: {len(passed)} passed, 0 failed"
    assert {"machine", "peers", "engines", "precisions", "input-modes"} < passed
    others = {line["reason"] for line in lines if not line["passed"]}
    assert others == {"does not apply to a CPU"}
    found = step_probe.settings_seen(seen)
    assert {settings["precision"] for settings in found} == {"fp32", "bf16"}
    assert found == [step_probe.settings_of_a_run(settings["precision"]) for settings in found]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_the_device_nothing_else_is_tried() -> None:
    command = [sys.executable, str(FOLDER / "day_one.py"), "--only", "machine,doctor,timing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    *lines, last = done.stdout.splitlines()
    assert (done.returncode, last) == (1, "DAY ONE: 0 passed, 3 failed")
    machine, *others = (json.loads(line)["reason"] for line in lines)
    assert machine.startswith("exit code 1: There is no device cuda: torch ")
    assert others == ["not run: there is no such device"] * 2
    assert "--device cpu --rehearse" in done.stderr


def test_an_unknown_stage_is_named() -> None:
    code, _, message = rehearse("--only", "fast")
    assert code == 2
    assert "unknown stage fast" in message


def test_a_result_that_is_wrong_is_judged_so_although_its_command_succeeded() -> None:
    stages = runpy.run_path(str(FOLDER / "stages.py"))["BY_NAME"]
    bounds = {"losses": {"found": 2.0, "tolerance": 1.0}}
    row = {"engine": "graph", "model": "vae", "precision": "fp32"}
    equivalence = stages["equivalence"].judge
    assert "graph of vae in fp32" in equivalence({"rows": [row | {"bounds": bounds}]})
    assert "graph of vae in fp32" in equivalence({"rows": [row | {"unavailable": "no GPU"}]})
    assert equivalence({"rows": [{"engine": "eager"}]}) == "no engine was compared"
    assert not equivalence({"rows": [row | {"bounds": {"losses": {"found": 0.5, "tolerance": 1.0}}}]})
    trained = {"model": "vae", "status": "ok", "engine": "eager"}
    assert stages["graph-cells"].judge([trained]) == "vae was trained by eager"
    assert not stages["smoke"].judge([trained])
    assert stages["smoke"].judge([]) == "no cell"
    absent = {"checks": [{"name": "device-events", "status": "not applicable"}]}
    assert stages["timing"].judge(absent) == "not applicable: device-events"
    assert not stages["doctor"].judge(absent)
