"""The overhead of reporters: training windows right after an event, compared with windows with the reporter stopped.

    pip install -e plugins/genbench-trackers tensorboard mlflow-skinny wandb
    python benchmarks/reporters_overhead.py --out results/reference/reporters-overhead.json

For each reporter, the same training is timed in two conditions: in one, each window follows an event that is sent and
acknowledged as in a run; in the other, no event is sent and the reporter's processes are stopped by a signal. The
conditions alternate in the order ABBA, so that slowdowns of the machine affect both. The result is the median over
blocks of the ratio of the times, sent / stopped, with its distribution-free 95% interval: 1 means that reporters cost
nothing inside windows. The time that sending takes outside of windows is reported as well. Run it on a quiet machine,
with as many threads as a run would use.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from engine_overhead import build_model, time_per_step, time_steps
from worker_settings import apply_worker_settings

from genbench.measure import machine
from genbench.planning.planner import make_plan
from genbench.planning.reporters import choose_reporters
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import RunRecord
from genbench.results.store import RunDirectory
from genbench.stats.intervals import median_interval
from genbench.trackers.dispatch import Trackers


def main() -> None:
    """Measure every reporter and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reporters", default="tensorboard,mlflow,wandb")
    parser.add_argument("--model", default="dcgan")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=int, default=60, help="ABBA blocks per reporter")
    parser.add_argument("--windows", type=int, default=2, help="windows per condition")
    parser.add_argument("--window-seconds", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    apply_worker_settings(arguments.threads)
    catalogue = discover()
    found = [compare(name, catalogue, arguments) for name in arguments.reporters.split(",")]
    for each in found:
        print(
            f"{each['reporter']:<12} sent / stopped {each['ratio']:.4f}  95% interval [{each['low']:.4f}, "
            f"{each['high']:.4f}]  {1e3 * each['seconds_told']:.1f} ms outside of each window"
        )
    report = {
        "command": " ".join(["python", *sys.argv]),
        "reporters": found,
        "threads": arguments.threads,
        "openmp": machine.openmp_settings(),
        "machine": machine.describe(),
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(reporter: str, catalogue: Catalogue, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the ratio of window times with this reporter running and stopped."""
    device = torch.device(arguments.device)
    engine = build_model(arguments.model, catalogue, device, batch_size=32).engine
    request = make_request({"models": arguments.model, "reporters": reporter})
    plan = make_plan(request, catalogue, device.type)
    record = RunRecord(created="", genbench="", profile=request.profile, cells=plan.cells)
    sending: list[float] = []
    ratios: list[float] = []
    steps = max(1, int(arguments.window_seconds / time_per_step(engine.step, 3, device, warmup=5)))
    with tempfile.TemporaryDirectory() as folder, Trackers(lambda text: print(text, file=sys.stderr)) as trackers:
        run = RunDirectory.create(Path(folder) / "run", record)
        (choice,) = choose_reporters([reporter], {}, catalogue)
        trackers.start(run, [(choice, catalogue.reporters[reporter].plugin)])
        cell = plan.cells[0].id
        trackers.send_event("run_started", pending=[cell])
        trackers.send_event("cell_started", cell, index=1, total=1, steps=1)

        def run_windows(with_reporter: bool) -> float:
            (trackers.resume if with_reporter else trackers.pause)()
            spent = 0.0
            for _ in range(arguments.windows):
                if with_reporter:
                    begin = time.perf_counter()
                    terms = {f"term-{number}": float(number) for number in range(8)}
                    step = {"step": engine.step_number, "images": engine.images_seen}
                    trackers.send_event(
                        "window_finished", cell, **step, images_per_second=1.0, terms=terms, warmup=False
                    )
                    sending.append(time.perf_counter() - begin)
                else:
                    time.sleep(sending[-1])  # the scheduler favours a process that has slept: favour both
                spent += time_steps(engine.step, steps, device)
                engine.read_terms()
            return spent

        run_windows(True)
        gc.collect()
        gc.disable()
        for block in range(arguments.blocks):
            order = (True, False, False, True) if block % 2 else (False, True, True, False)
            spent = {True: 0.0, False: 0.0}
            for with_reporter in order:
                spent[with_reporter] += run_windows(with_reporter)
            ratios.append(spent[True] / spent[False])
        gc.enable()
        trackers.resume()
        trackers.end(interrupted=True)
    found = median_interval(ratios)
    return {
        "reporter": reporter,
        "model": arguments.model,
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
        "confidence": found.confidence,
        "steps_per_window": steps,
        "seconds_told": statistics.median(sending),
        "ratios": ratios,
    }


if __name__ == "__main__":
    main()
