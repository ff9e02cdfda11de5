"""The overhead of a cell: cells per minute, the start of a cell, and memory growth over many cells.

    python benchmarks/cost_per_cell.py --out results/reference/cost-per-cell.json

Two runs, executed as by `genbench run`, observed through the supervisor's display and through /proc (Linux):

- `--cells` cells of the profile `smoke`, models × losses × seeds: cells per minute, from the start of this program
  until the report is written, and the parts of a cell. The *start* of a cell lasts from the moment the supervisor
  dispatches it to the first training step: until the first window is reported, minus the duration of that window.
- `--many` cells that train on 64 images each: memory and open files of the supervisor and of the fork server that
  starts the workers, read after each cell; and the time that the supervisor is busy between two cells. The growth per
  cell is the Theil-Sen slope with Sen's 95% interval, without the first `--settling` cells.

The cache of prepared data and data statistics starts empty, unless `--cache` names a folder, so work that cells share
is done once, inside the measured time. CPU seconds are those of the supervisor, the fork server and all workers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from resource_growth import cpu_seconds, find_only_child, read_resources, theil_sen

from genbench.commands.device import require_device
from genbench.commands.execution import create_run
from genbench.measure import machine
from genbench.planning.executor_choice import LOCAL, choose_executor
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.report.progress import SilentDisplay
from genbench.report.summary import write_summary
from genbench.results.schema import CellResult
from genbench.runner.local_executor import LocalExecutor
from genbench.runner.pool import WorkerPool
from genbench.runner.supervisor import Supervisor
from genbench.stats.intervals import median_interval

ADVERSARIAL, VARIATIONAL = "non-saturating,hinge", "elbo,beta-vae"
TINY = {"images": 64, "samples": 64}


def main() -> None:
    """Execute both runs and write the figures with the raw samples."""
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=50, help="number of smoke cells; 0: skip this run")
    parser.add_argument("--many", type=int, default=200, help="number of tiny cells; 0: skip this run")
    parser.add_argument("--settling", type=int, default=20, help="number of initial tiny cells to ignore")
    parser.add_argument("--models", default="gan,dcgan,vae,dcgan-vae")
    parser.add_argument("--losses", default=f"{ADVERSARIAL},{VARIATIONAL}")
    parser.add_argument("--tiny-models", default="vae,gan")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--cache", type=Path, help="folder of prepared data [default: an empty one]")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    common = {"profile": "smoke", "device": arguments.device, "threads": arguments.threads}
    report: dict[str, Any] = {"command": " ".join(["python", *sys.argv])}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GENBENCH_CACHE"] = str((arguments.cache or Path(folder, "cache")).resolve())
        if arguments.cells:
            requested = {"models": arguments.models, "losses": arguments.losses, **common}
            report["rate"] = rate(execute(Path(folder, "smoke"), requested, arguments.cells, begin))
            show_rate(report["rate"])
        if arguments.many:
            requested = {"models": arguments.tiny_models, **TINY, **common}
            observed = execute(Path(folder, "many"), requested, arguments.many, time.perf_counter())
            report["growth"] = growth(observed, arguments.settling)
            show_growth(report["growth"])
    report |= {"device": arguments.device, "threads": arguments.threads, "openmp": machine.openmp_settings()}
    report["load_average"] = machine.load_average()
    report["machine"] = machine.describe()
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


@dataclass
class Recorder(SilentDisplay):
    """A display that only records the time of each event and the resources of the processes after each cell.

    It writes to a file immediately, because records in memory would distort the measurement.
    """

    notes: Path
    fork_server: int
    events: list[tuple[str, float]] = field(default_factory=list)  # of the current cell

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """Start the events of a cell."""
        self.events = [("start", time.perf_counter())]

    def cell_activity(self, cell: str, text: str) -> None:
        """Add an event."""
        self.events.append((text, time.perf_counter()))

    def cell_progress(
        self, cell: str, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Add the end of the first window."""
        if self.events[-1][0] == "training":
            self.events.append(("first window", time.perf_counter()))

    def cell_finished(self, result: CellResult) -> None:
        """Write the events and the resources of the processes; reading those is not attributed to any cell."""
        end = time.perf_counter()
        spent = sum(os.times()[:2]) + cpu_seconds(self.fork_server)
        held = {"supervisor": read_resources(os.getpid()), "template": read_resources(self.fork_server)}
        line = {"events": [*self.events, ("end", end)], "processor": spent, "held": held, "read": time.perf_counter()}
        with self.notes.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def message(self, text: str) -> None:
        """Print a warning."""
        print(text, file=sys.stderr)


@dataclass(frozen=True)
class Observation:
    """Events and results of a run."""

    cells: list[dict[str, Any]]  # as the recorder wrote them
    results: list[CellResult]
    began: float
    executed: float
    written: float
    processor: float  # seconds


def execute(path: Path, requested: Mapping[str, Any], count: int, began: float) -> Observation:
    """Execute `count` cells as the command line does, seed by seed, and write the report."""
    before = sum(os.times()[:4])
    with WorkerPool() as pool:
        pool.start()
        catalogue = discover()
        request = make_request({**requested, "seeds": list(range(count))})
        plan = make_plan(request, catalogue, request.device)
        plan.cells[:] = sorted(plan.possible, key=lambda cell: cell.identity.seed)[:count]
        facts = require_device(pool, plan.cells, request.device, chosen=True)
        local = choose_executor(LOCAL, {}, catalogue)
        run, record = create_run(request, plan, [], request.device, facts, local)
        recorder = Recorder(path.with_suffix(".jsonl"), find_only_child())
        with contextlib.closing(LocalExecutor(pool, run.path, request.device, threads=request.threads)) as executor:
            Supervisor(run, record, catalogue, executor, recorder, request.device).execute()
        executed = time.perf_counter()
        write_summary(run)
        written = time.perf_counter()
    results = run.read_cells().results
    noted = [json.loads(line) for line in recorder.notes.read_text().splitlines()]
    ordered = [results[cell.id] for cell in plan.cells]
    return Observation(noted, ordered, began, executed, written, sum(os.times()[:4]) - before)


def rate(observed: Observation) -> dict[str, Any]:
    """Return cells per minute, and the parts of each cell."""
    starts = [start_of(cell, result) for cell, result in zip(observed.cells, observed.results, strict=True)]
    later = median_interval(starts[1:])
    return {
        "cells": len(starts),
        "seconds": observed.written - observed.began,
        "cells_per_minute": 60 * len(starts) / (observed.written - observed.began),
        "processor_seconds": observed.processor,
        "before_the_first_cell": observed.cells[0]["events"][0][1] - observed.began,
        "report": observed.written - observed.executed,
        "start_seconds": {"first": starts[0], **later._asdict(), "longest": max(starts[1:])},
        "parts": {name: statistics.median(spent) for name, spent in parts(observed.cells[1:]).items()},
        "each": [
            {
                "cell": " ".join((result.identity.model.name, result.identity.loss.name, str(result.identity.seed))),
                "status": result.status,
                "start": start,
                "first_window": result.windows[0].seconds if result.windows else None,
                **noted,
            }
            for start, result, noted in zip(starts, observed.results, observed.cells, strict=True)
        ],
    }


def start_of(cell: Mapping[str, Any], result: CellResult) -> float:
    """Return the seconds until the first window is reported, minus the duration of that window."""
    times = dict(cell["events"])
    return float(times["first window"] - times["start"] - result.windows[0].seconds)


def parts(cells: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the seconds of each activity in each cell, and the time between two cells."""
    spent: dict[str, list[float]] = {}
    for cell in cells:
        for (name, begin), (_, end) in pairwise(cell["events"]):
            spent.setdefault(name, []).append(end - begin)
    between = [after["events"][0][1] - before["read"] for before, after in pairwise(cells)]
    return spent | {"between two cells": between}


def growth(observed: Observation, settling: int) -> dict[str, Any]:
    """Return how memory, open files and the time between cells grow from cell to cell, after the initial ones."""
    series = {
        f"{process} {what}": [cell["held"][process][what] for cell in observed.cells]
        for process in ("supervisor", "template")
        for what in ("rss", "anonymous", "files")
    }
    series["worker peak_rss"] = [result.memory.peak_rss if result.memory else 0 for result in observed.results]
    lasted = [cell["events"][-1][1] - cell["events"][0][1] for cell in observed.cells]
    series |= {"seconds of a cell": lasted, "seconds between two cells": parts(observed.cells)["between two cells"]}
    return {
        "cells": len(observed.cells),
        "settling": settling,
        "seconds": observed.executed - observed.began,
        "report": observed.written - observed.executed,
        "slopes": {name: theil_sen(values[settling:])._asdict() for name, values in series.items()},
        "samples": series,
    }


def show_rate(found: Mapping[str, Any]) -> None:
    """Print the figures of the first run."""
    start = found["start_seconds"]
    print(
        f"{found['cells']} smoke cells in {found['seconds']:.1f} s: {found['cells_per_minute']:.1f} per minute, "
        f"{found['processor_seconds'] / found['cells']:.2f} CPU seconds each"
    )
    print(f"before the first {found['before_the_first_cell']:.2f} s, the report {found['report']:.2f} s")
    print(
        f"start of a cell {start['median']:.3f} s [{start['low']:.3f}, {start['high']:.3f}], "
        f"the longest {start['longest']:.3f} s, the first {start['first']:.3f} s"
    )
    for name, seconds in found["parts"].items():
        print(f"  {name:<24} {seconds:.3f} s")


def show_growth(found: Mapping[str, Any]) -> None:
    """Print the figures of the second run."""
    print(
        f"{found['cells']} tiny cells in {found['seconds']:.1f} s, the report {found['report']:.2f} s; growth per cell:"
    )
    for name, slope in found["slopes"].items():
        last = found["samples"][name][-1]
        unit, scale = (
            ("ms", 1e-3) if name.startswith("seconds") else ("", 1) if name.endswith("files") else ("KiB", 1024)
        )
        median, low, high = (slope[key] / scale for key in ("median", "low", "high"))
        print(f"  {name:<28} {median:9.4f} {unit} [{low:.4f}, {high:.4f}], in the end {last / scale:,.1f} {unit}")


if __name__ == "__main__":
    main()
