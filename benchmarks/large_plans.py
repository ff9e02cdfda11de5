"""What genbench takes for runs of many cells, each command in a process of its own.

    python benchmarks/large_plans.py --cells 300,3000,10000 --out results/reference/large-plans.json

For each number of cells it makes a synthetic run (`large_run.py`) and measures the seconds, the seconds of processor
time and the peak memory of: the dry run of its plan; `run --resume` until the first cell starts, and its memory
afterwards, until it has been interrupted and has written the report; `table`; `show`; and `report`, with the number of
its files and the size of the largest. Processor time is that of the command's own process, in user mode and in the
kernel: unlike seconds, it hardly depends on what else runs. Then it prints what the
largest run takes for each cell relative to the others: 1 where a command is linear in the number of cells.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from large_run import request_for, write_run

from genbench.measure import machine
from genbench.results.toml_text import toml_document

GENBENCH = [sys.executable, "-m", "genbench"]
LIMITS = {"resume": 5.0, "table": 5.0}  # seconds of processor time of 10,000 cells
LARGEST_PARENT = 300.0  # MiB
UNFINISHED = 10


def main() -> int:
    """Measure each number of cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="300,3000,10000", help="numbers of cells, separated by commas")
    parser.add_argument("--runs", type=Path, help="keep the runs here, and use those that are there already")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.cells.split(",")]
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in counts:
            run = (arguments.runs or Path(temporary)) / f"run-{count}"
            if not run.exists():
                write_run(run, count, UNFINISHED)
            measured.append({"cells": count, **measure(run, count)})
            print(json.dumps(measured[-1]), flush=True)
    found = {
        "command": f"python benchmarks/large_plans.py --cells {arguments.cells}",
        "machine": machine.describe(),
        "load_average": os.getloadavg(),
        "runs": measured,
        "cost_per_cell_relative_to_the_largest": growth(measured),
    }
    print(json.dumps(found["cost_per_cell_relative_to_the_largest"], indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(missed(record) for record in measured))


def measure(run: Path, count: int) -> dict[str, Any]:
    """Return what each command takes."""
    plan = run.with_suffix(".toml")
    plan.write_text(toml_document(request_for(count)))
    return {
        "table": command("table", run),
        "show": command("show", run),
        "resume": resume(run),
        "report": {**command("report", run), **report_files(run)},
        "dry_run": command("run", "--config", plan, "--dry-run"),
    }


def command(*arguments: object) -> dict[str, float]:
    """Return seconds, processor seconds, peak MiB and characters of output of one command."""
    start = time.perf_counter()
    process = subprocess.Popen([*GENBENCH, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    watch = _Watch(process)
    assert process.stdout is not None
    written = 0
    while part := process.stdout.read(2**16):
        written += len(part)
    usage = watch.measured()
    return {"seconds": round(time.perf_counter() - start, 2), **usage, "characters": written}


def resume(run: Path) -> dict[str, float]:
    """Return what it takes until the first cell of a resumed run starts, and the peak memory until its end."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*GENBENCH, "run", "--resume", str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    watch = _Watch(process)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/"):
            break
    seconds = time.perf_counter() - start
    watch.read()
    until_first = watch.processor_seconds
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    usage = watch.measured()
    return {
        "seconds": round(seconds, 2), "processor_seconds": round(until_first, 2),
        "processor_seconds_to_the_end": usage["processor_seconds"], "mebibytes": usage["mebibytes"],
        "seconds_to_the_end": round(time.perf_counter() - start, 2),
    }  # fmt: skip


def report_files(run: Path) -> dict[str, float]:
    """Return the number of files of the report, and their sizes in megabytes."""
    sizes = [path.stat().st_size / 1e6 for path in (run / "report.html", *run.glob("report/*")) if path.is_file()]
    return {"files": len(sizes), "largest_megabytes": round(max(sizes), 2), "megabytes": round(sum(sizes), 1)}


def growth(measured: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return processor time for each cell of the largest run, divided by that of each smaller one."""
    largest = measured[-1]
    return {
        name: {
            str(other["cells"]): round(
                largest[name]["processor_seconds"] / largest["cells"]
                / (other[name]["processor_seconds"] / other["cells"]), 2,
            )
            for other in measured[:-1]
        }
        for name in ("table", "show", "resume", "report", "dry_run")
    }  # fmt: skip


def missed(record: dict[str, Any]) -> list[str]:
    """Return the limits that a run of at most 10,000 cells misses."""
    found = [
        f"{name} took {record[name]['processor_seconds']} s"
        for name, most in LIMITS.items()
        if record[name]["processor_seconds"] > most
    ]
    return found + [name for name in ("table", "show", "resume") if record[name]["mebibytes"] > LARGEST_PARENT]


class _Watch(threading.Thread):
    """Reads processor time and peak memory of a process, without its children, until it ends.

    `os.wait4` would count the fork server and the workers too.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._folder = Path("/proc", str(process.pid))
        self.processor_seconds = self.mebibytes = 0.0
        self.start()

    def run(self) -> None:
        """Read every 50 ms, until the process has ended."""
        while self._process.returncode is None and self.read():
            time.sleep(0.05)

    def read(self) -> bool:
        """Read once; return whether the process still runs."""
        try:
            fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
            status = dict(line.split(":", 1) for line in (self._folder / "status").read_text().splitlines())
        except OSError:
            return False
        if "VmHWM" not in status:  # it has ended
            return False
        self.processor_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self.mebibytes = int(status["VmHWM"].split()[0]) / 1024
        return True

    def measured(self) -> dict[str, float]:
        """Wait for the end of the process; return processor seconds and peak MiB."""
        self._process.wait()
        return {"processor_seconds": round(self.processor_seconds, 2), "mebibytes": round(self.mebibytes, 1)}


if __name__ == "__main__":
    sys.exit(main())
