"""The speed of each engine's step relative to eager, and the time to prepare the engine.

    python benchmarks/engine_speed.py --out results/reference/engine-speed.json

For each model, the eager engine and another engine execute the steps of the same cell, in the same process and on the
same tensors, in short windows in the order ABBA, so that slowdowns of the machine affect both. The result is the median
over blocks of eager seconds / engine seconds, with its distribution-free 95% interval. An engine is prepared three
times, each in a separate process: with an empty cache of compiled code, with the cache that this filled, and before the
steps are timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from engine_equivalence import make_engine
from worker_settings import keep_step_settings

from genbench.measure import machine
from genbench.measure.clock import time_window
from genbench.plugins.catalogue import discover
from genbench.process.environment import worker_environment
from genbench.stats.intervals import median_interval
from genbench.train.engine import Eager
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.torch_setup import set_up_torch


def main() -> None:
    """Measure every model in separate processes, and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="vae:128,gan:64,dcgan:64", help="comma-separated list of model:batch size")
    parser.add_argument("--engines", default="compile", help="comma-separated; on a GPU also graph,graph+compile")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=int, default=60, help="ABBA blocks per cell")
    parser.add_argument("--window-seconds", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a child process measures
    arguments = parser.parse_args()
    if arguments.one:
        model, batch_size, name, blocks = arguments.one.split(":")
        print(json.dumps(measure(model, batch_size, name, blocks, arguments)))
        return
    rows = []
    for cell in arguments.cells.split(","):
        for engine in arguments.engines.split(","):
            with tempfile.TemporaryDirectory() as cache:
                cold = measure_in_child(f"{cell}:{engine}:0", cache)
                warm = measure_in_child(f"{cell}:{engine}:0", cache)
                row = measure_in_child(f"{cell}:{engine}:{arguments.blocks}", cache)
            row |= {"cold_seconds": cold.get("prepare_seconds"), "warm_seconds": warm.get("prepare_seconds")}
            rows.append(row)
            print({name: value for name, value in row.items() if name not in ("eager", "other")}, flush=True)
    written = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine.processor(),
        "device": arguments.device,
        "precision": arguments.precision,
        "threads": arguments.threads,
        "versions": machine.versions(),
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def measure_in_child(what: str, cache: str) -> dict[str, Any]:
    """Measure in a new process, under the settings of a worker."""
    environment = {**worker_environment(), "TORCHINDUCTOR_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, *sys.argv, "--one", what], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(model: str, batch_size: str, name: str, blocks: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Prepare an engine and time its steps, alternating with eager steps."""
    set_up_torch(arguments.threads)
    keep_step_settings(arguments.precision)
    device = torch.device(arguments.device)
    engine = make_engine(model, arguments.precision, discover(), device, int(batch_size))
    row: dict[str, Any] = {"model": model, "batch_size": int(batch_size), "engine": name}
    begin = time.perf_counter()
    try:
        executions = {"eager": Eager(), "other": open_execution(name, engine)}
    except EngineUnavailable as reason:
        return row | {"unavailable": str(reason)}
    row |= {"prepare_seconds": time.perf_counter() - begin, "notes": list(executions["other"].notes)}
    if blocks == "0":
        return row
    samples: dict[str, list[float]] = {"eager": [], "other": []}

    def window(which: str) -> None:
        engine.execution = executions[which]
        engine.step()
        done, seconds = time_window(engine.step, steps, device)
        samples[which].append(seconds / done)
        engine.read_terms()

    steps = 10
    for which in executions:
        window(which)
    steps = max(1, round(arguments.window_seconds / samples["eager"][-1]))
    samples = {"eager": [], "other": []}
    for _ in range(int(blocks)):
        for which in ("eager", "other", "other", "eager"):
            window(which)
    pairs = [
        sum(samples["eager"][2 * n : 2 * n + 2]) / sum(samples["other"][2 * n : 2 * n + 2]) for n in range(int(blocks))
    ]
    found = median_interval(pairs, 0.95)
    speed = {"times_as_fast": found.median, "low": found.low, "high": found.high, "steps_per_window": steps}
    return row | speed | samples


if __name__ == "__main__":
    main()
