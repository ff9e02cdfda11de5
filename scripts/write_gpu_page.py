"""Generate docs/gpu.md: what was seen on which GPU, and what never was, from the committed evidence.

python scripts/write_gpu_page.py

Evidence is what `benchmarks/gpu/day_one.py` wrote to results/reference/gpu/*.jsonl. Rehearsals and CPUs do not count.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genbench.doctor.checklist import CHECKS

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "results" / "reference" / "gpu"
STAGES = runpy.run_path(str(ROOT / "benchmarks" / "gpu" / "stages.py"))["STAGES"]

_HEAD = """\
# What has run on a GPU

<!-- not run on this page: needs a GPU -->

`scripts/write_gpu_page.py` makes this page from committed measurements: it says only what a machine has shown.

    genbench doctor --device cuda                               # is this machine sound? attach --json to a bug report
    python benchmarks/gpu/day_one.py --device cuda --out results/reference/gpu/NAME.jsonl

The second command takes under ten minutes and writes one line for each stage. Commit the file, then run the script.
[The checks of the doctor](doctor.md) are described on their own page.
"""


def page(folder: Path = EVIDENCE) -> str:
    """Return the text of the page for the evidence in a folder."""
    found = {path.stem: lines for path in sorted(folder.glob("*.jsonl")) if (lines := _on_gpu(path))}
    parts = [_HEAD, "## Seen\n"]
    if not found:
        parts.append(
            "Nothing has run on a GPU yet. Everything about GPUs was tested without one, on simulated devices.\n"
        )
    parts += [_machine(name, lines) for name, lines in found.items()]
    parts.append(_never([line for lines in found.values() for line in lines]))
    return "\n".join(parts)


def _on_gpu(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file that a GPU wrote; none where it does not say which."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    real = [line for line in lines if not line["rehearsal"] and line["device"] != "cpu"]
    return real if any(line["stage"] == "machine" and line["passed"] and line["result"]["gpu"] for line in real) else []


def _machine(name: str, lines: Sequence[dict[str, Any]]) -> str:
    facts = next(line["result"] for line in lines if line["stage"] == "machine")
    rows = [f"| {line['question']} | {_answer(line)} | {line['seconds']:.0f} s |" for line in lines]
    passed = sum(line["passed"] is True for line in lines)
    return "\n".join(
        [
            f"### {facts['gpu']}",
            "",
            f"Driver {facts['driver'] or 'unknown'}, torch {facts['torch']}, CUDA {facts['cuda']}, "
            f"{facts['processor']}, {facts['system']}; "
            f"{lines[0]['time'][:10]}; {passed} of {len(lines)} stages passed "
            f"(`results/reference/gpu/{name}.jsonl`).",
            "",
            "| question | answer | time |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _never(lines: Sequence[dict[str, Any]]) -> str:
    """Return the section on stages, and checks of the doctor, that have passed on no GPU."""
    stages = {line["stage"] for line in lines if line["passed"]}
    reports = [line["result"] for line in lines if isinstance(line.get("result"), dict) and "checks" in line["result"]]
    checks = {
        check["name"] for report in reports for check in report["checks"] if check["status"] in ("passed", "warning")
    }
    rows = [f"| stage | `{stage.name}` | {stage.question} |" for stage in STAGES if stage.name not in stages]
    rows += [f"| check | `{check.name}` | {check.question} |" for check in CHECKS if check.name not in checks]
    if not rows:
        return "## Never seen\n\nNothing: every stage and every check has passed on a GPU.\n"
    return "\n".join(
        [
            "## Never seen",
            "",
            "These stages of `day_one.py` and checks of `genbench doctor --device cuda` have passed on no GPU:",
            "",
            "| | name | question |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _answer(line: dict[str, Any]) -> str:
    reason = line["reason"].replace("|", "\\|").replace("\n", " ")
    return "yes" if line["passed"] else f"no: {reason}"


if __name__ == "__main__":
    (ROOT / "docs" / "gpu.md").write_text(page(), encoding="utf-8")
