"""docs/gpu.md says exactly what committed evidence shows."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "write_gpu_page.py"))


def line(stage: str, result: Any, **more: Any) -> dict[str, Any]:
    common = {"device": "cuda", "rehearsal": False, "time": "2030-01-02T03:04:05+00:00", "seconds": 3.2, "reason": ""}
    return {"stage": stage, "question": f"Does {stage} work?", "passed": True, **common, "result": result, **more}


MACHINE = {"gpu": "H200", "driver": "570.1", "torch": "2.11", "cuda": "12.8", "processor": "Xeon", "system": "Linux"}
REPORT = {"checks": [{"name": "devices", "status": "passed"}, {"name": "energy", "status": "not applicable"}]}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    text = "".join(f"{json.dumps(one)}\n" for one in lines)
    path.write_text(f"{text}DAY ONE: 1 passed, 1 failed\n", encoding="utf-8")
    return path.parent


def test_the_page_is_what_the_script_writes() -> None:
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert page == SCRIPT["page"](), "run: python scripts/write_gpu_page.py"
    if not [*(ROOT / "results" / "reference" / "gpu").glob("*.jsonl")]:
        assert "Nothing has run on a GPU yet." in page


def test_what_passed_was_seen_and_the_rest_never(tmp_path: Path) -> None:
    lines = line("machine", MACHINE), line("doctor", REPORT), line("peers", None, passed=False, reason="exit code 1")
    page = SCRIPT["page"](write(tmp_path / "h200.jsonl", *lines))
    seen, never = page.split("## Never seen")
    assert "### H200" in seen
    assert "Driver 570.1, torch 2.11, CUDA 12.8" in seen
    assert "2 of 3 stages passed (`results/reference/gpu/h200.jsonl`)" in seen
    assert "| Does peers work? | no: exit code 1 | 3 s |" in seen
    assert "| check | `energy` |" in never
    assert "| stage | `peers` |" in never
    assert "`devices`" not in never
    assert "`machine`" not in never


def test_rehearsals_and_cpus_are_no_evidence(tmp_path: Path) -> None:
    write(tmp_path / "cpu.jsonl", line("machine", MACHINE, device="cpu"))
    write(tmp_path / "try.jsonl", line("machine", MACHINE, rehearsal=True))
    write(tmp_path / "unknown.jsonl", line("doctor", REPORT))
    assert SCRIPT["page"](tmp_path) == SCRIPT["page"](tmp_path / "missing")
