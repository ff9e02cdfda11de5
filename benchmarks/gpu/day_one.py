"""The first day of a machine with a GPU: every stage that it owes, in under ten minutes, with one JSON line for each.

    python benchmarks/gpu/day_one.py --device cuda --out results/reference/gpu/NAME.jsonl
    python benchmarks/gpu/day_one.py --device cpu --rehearse

Each stage runs in a process of its own with its own time limit; after a failure the next one follows, unless there is
no such device. The last line is ``DAY ONE: n passed, m failed``; the exit code is 0 if none failed. A stage that needs
a GPU does not apply to a CPU: ``"passed": null``, and it does not count. `scripts/write_gpu_page.py` makes docs/gpu.md
from the committed files. A rehearsal tries the script with tiny budgets and proves nothing about a GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stages import BY_NAME, NO_DEVICE, STAGES, Stage

ROOT = Path(__file__).parents[2]
MINUTES = 9.4
_SHOWN = 2000  # characters at the end of the output of a failed stage


def main() -> int:
    """Run the stages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", help="comma-separated stages")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all stages together")
    parser.add_argument("--rehearse", action="store_true", help="tiny budgets, without what needs a GPU")
    parser.add_argument("--out", type=Path, help="also write the lines to this file")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(BY_NAME)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        parser.error(f"unknown stage {', '.join(unknown)}; stages: {', '.join(BY_NAME)}")
    deadline = time.monotonic() + 60 * arguments.minutes
    passed = failed = 0
    missing = ""
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(_opened(arguments.out)) if arguments.out else None
        for stage in STAGES:
            if stage.name not in names:
                continue
            line = _line(stage, arguments.device, arguments.rehearse)
            if arguments.device == "cpu" and not stage.on_cpu:
                line |= {"passed": None, "reason": "does not apply to a CPU"}
            elif missing:
                line |= {"reason": missing}
            else:
                line |= run_stage(stage, arguments.device, arguments.rehearse, deadline - time.monotonic())
            if stage.name == "machine" and NO_DEVICE in line.get("reason", ""):
                missing = "not run: there is no such device"
            passed, failed = passed + (line["passed"] is True), failed + (line["passed"] is False)
            for target in (sys.stdout, file):
                if target is not None:
                    print(json.dumps(line), file=target, flush=True)
    if missing:
        print("Without a GPU, try the script with --device cpu --rehearse.", file=sys.stderr)
    print(f"DAY ONE: {passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


def _line(stage: Stage, device: str, rehearse: bool) -> dict[str, Any]:
    """Return the line of a stage that has not been run."""
    return {
        "stage": stage.name,
        "theme": stage.theme,
        "question": stage.question,
        "device": device,
        "rehearsal": rehearse,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": False,
        "seconds": 0.0,
    }


def run_stage(stage: Stage, device: str, rehearse: bool, left: float) -> dict[str, Any]:
    """Run a stage within its limit and the seconds that are left; return what its line says of that."""
    limit = min(stage.seconds, left)
    if limit < 1:
        return {"reason": "no time was left"}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        code, output = _execute(_command(stage, device, rehearse, Path(folder)), limit)
        seconds = round(time.monotonic() - begin, 2)
        try:
            result = _read(stage, output, Path(folder))
            reason = stage.judge(result)
        except Exception as error:
            result, reason = None, f"its result cannot be read: {type(error).__name__}: {error}"
    if code is None:
        reason = f"not finished within {limit:.0f} s"
    elif code not in stage.accepted:
        last = (output.strip().splitlines() or [""])[-1] if result is None else reason
        reason = f"exit code {code}" + (f": {last}" if last else "")
    found = {"passed": not reason, "seconds": seconds, "reason": reason, "result": result}
    return found | ({"output": output[-_SHOWN:]} if reason else {})


def _command(stage: Stage, device: str, rehearse: bool, folder: Path) -> list[str]:
    out = {"stdout": (), "out": ("--out", str(folder / "out.json")), "run": ("--out", str(folder / "run"))}
    further = stage.rehearsal if rehearse else ()
    return [sys.executable, *stage.arguments, *further, "--device", device, *out[stage.writes]]


def _execute(command: list[str], limit: float) -> tuple[int | None, str]:
    """Return the exit code, None if the time was over, and what was printed; nothing that was started goes on."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _read(stage: Stage, output: str, folder: Path) -> Any:
    """Return the JSON that a stage wrote."""
    if stage.writes == "out":
        written = json.loads((folder / "out.json").read_text(encoding="utf-8"))
        written.pop("command", None)  # it names the temporary folder
        return written
    if stage.writes == "run":
        return _cells(folder / "run")
    return _last_json(output)


def _last_json(output: str) -> Any:
    """Return the JSON at the end of an output that may begin with other lines."""
    lines = output.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("{")]
    for number in starts:
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads("\n".join(lines[number:]))
    raise ValueError("it printed no JSON")


def _cells(run: Path) -> list[dict[str, Any]]:
    """Return what matters of the results of a run."""
    sys.path.insert(0, str(ROOT))
    from genbench.results.store import RunDirectory

    return [
        {
            "model": cell.identity.model.name,
            "precision": cell.identity.recipe["precision"],
            "status": cell.status,
            "reason": cell.reason,
            "engine": cell.engine.used if cell.engine else "",
            "images_per_second": cell.throughput.images_per_second if cell.throughput else None,
        }
        for cell in RunDirectory(run).read_cells().results.values()
    ]


def _opened(path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
