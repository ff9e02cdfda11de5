"""The overhead of the engines: each engine's step compared with a hand-written loop, interleaved in one process.

    python benchmarks/engine_overhead.py --engines eager,compile --out results/reference/engine-overhead.json

For each model and engine, the same networks, optimisers and data are trained alternately by genbench's engine and by a
loop in `reference_loops.py` with every optimisation of the engine; if the engine compiles, the loop calls torch.compile
in the same way, and if it replays a CUDA graph, the loop has captured one. Both use the same tensors, so that memory
placement favours neither. Short windows alternate in the order ABBA, so that slowdowns of the machine affect both. The
result is the median over blocks of the ratio engine / loop with its distribution-free 95% interval, in seconds and, on
the CPU, in CPU seconds, which depend less on other load. The time of a step of the null model, which does nothing, is
reported as well (plugins/genbench-null must be installed).
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from reference_loops import GraphedLoop, Loop, make_reference_loop
from worker_settings import apply_worker_settings

from genbench.data.loading import load_data
from genbench.measure import machine
from genbench.measure.clock import synchronise
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.stats.intervals import median_interval
from genbench.train.builder import Built, build_cell
from genbench.train.engine import Engine
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.memory_format_choice import choose_memory_format

Step = Callable[[], None]


def main() -> None:
    """Measure every model and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="gan,dcgan,vae")
    parser.add_argument("--engines", default="eager", help="eager, compile, graph, graph+compile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=100, help="ABBA blocks per model and engine")
    parser.add_argument("--window-seconds", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    apply_worker_settings(arguments.threads)
    device = torch.device(arguments.device)
    catalogue = discover()
    models = []
    for model, engine in product(arguments.models.split(","), arguments.engines.split(",")):
        try:
            found = compare(model, engine, catalogue, device, arguments)
        except EngineUnavailable as error:
            print(f"{model:<8} {engine:<14} {error}")
            continue
        models.append(found)
        print(
            f"{model:<8} {engine:<14} engine / loop {found['ratio']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
            f"{format_cpu(found)}  {1e3 * found['loop_seconds_per_step']:.3f} ms per step, {found['blocks']} blocks"
        )
    harness = time_null_step(catalogue, device) if "null" in catalogue.models else None
    if harness is not None:
        print(f"null     {1e6 * harness:.1f} µs per step: batch of one image, loop and timers")
    report = {
        "command": " ".join(["python", *sys.argv]),
        "models": models,
        "null_seconds_per_step": harness,
        "batch_size": arguments.batch_size,
        "device": arguments.device,
        "threads": arguments.threads,
        "openmp": machine.openmp_settings(),
        "machine": machine.describe(),
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(
    model: str, engine: str, catalogue: Catalogue, device: torch.device, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return the ratio of the engine's time to the hand-written loop's, from interleaved windows."""
    built = build_model(model, catalogue, device, arguments.batch_size)
    built.engine.execution = open_execution(engine, built.engine)
    loop = make_reference_loop(built, arguments.batch_size, engine)
    steps = max(1, int(arguments.window_seconds / time_per_step(built.engine.step, 3, device, warmup=5)))
    for step in (loop, built.engine.step):
        time_steps(step, steps, device)
    blocks = [
        measure(built.engine, loop, steps, device, block) for block in _without_garbage_collection(arguments.blocks)
    ]
    built.engine.execution.close()
    ratios = [spent["engine"] / spent["loop"] for spent, _ in blocks]
    busy = [busy["engine"] / busy["loop"] for _, busy in blocks if busy["loop"]]
    found = median_interval(ratios)
    return {
        "model": model,
        "engine": engine,
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
        "confidence": found.confidence,
        "processor_ratio": median_interval(busy)._asdict() if device.type == "cpu" else None,
        "blocks": arguments.blocks,
        "steps_per_window": steps,
        "loop_seconds_per_step": statistics.median(spent["loop"] for spent, _ in blocks) / (2 * steps),
        "engine_seconds_per_step": statistics.median(spent["engine"] for spent, _ in blocks) / (2 * steps),
        "ratios": ratios,
        "processor_ratios": busy,
    }


def measure(
    engine: Engine, loop: Loop | GraphedLoop, steps: int, device: torch.device, block: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds and the CPU seconds of two windows of each, in the order ABBA or BAAB."""
    turns: dict[str, Step] = {"engine": engine.step, "loop": loop}
    spent, busy = dict.fromkeys(turns, 0.0), dict.fromkeys(turns, 0.0)
    for name in ("engine", "loop", "loop", "engine") if block % 2 else ("loop", "engine", "engine", "loop"):
        before = time.process_time()
        spent[name] += time_steps(turns[name], steps, device)
        busy[name] += time.process_time() - before
    engine.read_terms()  # not timed, as at the end of a window
    loop.read()
    return spent, busy


def _without_garbage_collection(blocks: int) -> Iterator[int]:
    """Count the blocks while garbage collection is off."""
    gc.collect()
    gc.disable()
    try:
        yield from range(blocks)
    finally:
        gc.enable()


def format_cpu(found: dict[str, Any]) -> str:
    """Return the ratio in CPU seconds as text; empty if there is none."""
    ratio = found["processor_ratio"]
    return f", CPU time {ratio['median']:.4f} [{ratio['low']:.4f}, {ratio['high']:.4f}]" if ratio else ""


def build_model(model: str, catalogue: Catalogue, device: torch.device, batch_size: int) -> Built:
    """Build a cell as a worker does."""
    request = make_request({"models": model, "batch_size": batch_size, "device": device.type})
    (cell,) = make_plan(request, catalogue, device.type).cells
    data = load_data(cell.identity.dataset, cell.identity.image_shape, catalogue)
    built = build_cell(cell.identity, catalogue, data, device)
    choose_memory_format(built.engine)
    return built


def time_steps(step: Step, steps: int, device: torch.device) -> float:
    """Return the seconds that so many steps take in total, with a device sync at each end."""
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return time.perf_counter() - begin


def time_per_step(step: Step, steps: int, device: torch.device, warmup: int) -> float:
    """Return the mean seconds of a step after `warmup` steps."""
    for _ in range(warmup):
        step()
    return time_steps(step, steps, device) / steps


def time_null_step(catalogue: Catalogue, device: torch.device, steps: int = 20_000) -> float:
    """Return the seconds that a step of the null model takes."""
    from genbench.plugins.worker_catalogue import load_catalogue

    registry = load_catalogue([vars(catalogue.models["null"].plugin)])
    built = build_model("null", registry, device, 1)
    return time_per_step(built.engine.step, steps, device, warmup=100)


if __name__ == "__main__":
    main()
