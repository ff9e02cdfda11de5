"""Where the time of a command goes, from Enter to the table: the first command of the README, part by part.

    python benchmarks/waterfall.py --out results/reference/waterfall.json

runs `genbench run` as a process of its own, with an empty cache and then with the cache of that run, and notes every
change of activity that its display is told. The parts are: start (until the first cell or reference row is handed to a
worker), data (loading, building networks), references, training, evaluation (samples and metrics), counting, between
(from the end of a cell to the start of the next), and report (from the last result until the process has exited). The
bars of the printed waterfall are in proportion to the whole; the last line is the share that is neither training nor
evaluation nor references.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from genbench.measure import machine

COMMAND = ("run", "--models", "gan,dcgan,vae")  # of README.md
PARTS = {  # activity -> part
    "loading data": "data",
    "building networks": "data",
    "measuring reference rows": "references",
    "training": "training",
    "evaluating": "evaluation",
    "generating samples": "evaluation",
    "measuring metrics": "evaluation",
    "counting operations": "counting",
    "tuning the step": "tuning",
    "timing engines": "tuning",
    "between": "between",
    "finished": "between",
}
WANTED = ("training", "evaluation", "references")
WIDTH = 60  # characters of the longest bar


def main() -> None:
    """Measure both runs, print them and write the events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arguments", default="", help="further arguments of `genbench run`, separated by spaces")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        notes, *command = arguments.child
        observe(Path(notes), command)
        return
    command = [*COMMAND, *arguments.arguments.split()]
    report: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine.describe(),
        "load_average": machine.load_average(),
        "runs": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in ("empty cache", "second run"):
            events = measure(command, Path(folder), name.replace(" ", "-"))
            report["runs"][name] = found = summarise(events)
            print(f"genbench {' '.join(command)}, {name}: {found['seconds']:.1f} s\n{draw(found)}", flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def measure(command: Sequence[str], folder: Path, name: str) -> list[tuple[str, float]]:
    """Run the command; return each activity with the time at which it began, and the end; the start is at 0."""
    notes, out = folder / f"{name}.jsonl", folder / name
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, __file__, "--child", str(notes), *command, "--out", str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GENBENCH_CACHE": str(folder / "cache")},
    )
    end = time.monotonic()
    noted: list[tuple[str, float]] = [tuple(json.loads(line)) for line in notes.read_text().splitlines()]
    return [("start", 0.0), *((text, at - begin) for text, at in noted), ("end", end - begin)]


def observe(notes: Path, command: Sequence[str]) -> None:
    """Run the command in this process, and note what its display is told."""
    from genbench.cli import main as genbench
    from genbench.report.progress import PlainDisplay

    def note(text: str) -> None:
        with notes.open("a") as file:
            file.write(json.dumps([text, time.monotonic()]) + "\n")

    class Noting(PlainDisplay):
        def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
            note("building networks")
            super().cell_started(cell, index, total, label, steps)

        def cell_activity(self, cell: str, text: str) -> None:
            note(text or "between")
            super().cell_activity(cell, text)

        def cell_finished(self, result: Any) -> None:
            note("finished")
            super().cell_finished(result)

    import genbench.commands.run as run_command
    import genbench.report.progress as progress

    for module in (progress, run_command):
        module.__dict__["PlainDisplay"] = Noting
    genbench(list(command))


def summarise(events: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return the parts in order, each with its begin and its seconds, and the share that is not wanted work."""
    last = max((number for number, (text, _) in enumerate(events) if text == "finished"), default=0)
    bars: list[dict[str, Any]] = []
    part = "start"
    for number, ((text, begin), (_, end)) in enumerate(pairwise(events)):
        if number == 0 or number >= last:
            part = "report" if number else "start"
        else:  # a text that is not known is a detail of the activity before it
            part = PARTS.get(text.split(":")[0], part)
        if bars and bars[-1]["part"] == part:
            bars[-1]["seconds"] += end - begin
        else:
            bars.append({"part": part, "begin": begin, "seconds": end - begin})
    total = events[-1][1]
    sums: dict[str, float] = {}
    for bar in bars:
        sums[bar["part"]] = sums.get(bar["part"], 0.0) + bar["seconds"]
    wanted = sum(sums.get(part, 0.0) for part in WANTED)
    return {"seconds": total, "parts": sums, "overhead": 1 - wanted / total, "waterfall": bars, "events": list(events)}


def draw(found: dict[str, Any]) -> str:
    """Return one line for each bar of the waterfall, the sums, and the overhead."""
    scale = WIDTH / found["seconds"]
    lines = [
        f"  {bar['part']:<11}{bar['seconds']:7.2f} s  {' ' * round(scale * bar['begin'])}"
        f"{'█' * max(1, round(scale * bar['seconds']))}"
        for bar in found["waterfall"]
    ]
    sums = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in found["parts"].items())
    return "\n".join(
        [*lines, f"  {sums}", f"  neither training nor evaluation nor references: {found['overhead']:.1%}"]
    )


if __name__ == "__main__":
    main()
