"""What the tuner of the step gains on this machine, and what each alternative would.

    python benchmarks/step_tuning.py --out results/reference/step-tuning.json

For each cell the tuner chooses as in `genbench run` with a million images. Then its choice and the defaults are timed
in fresh windows, which alternate in one process, so that other load slows both: the ratio is the median over blocks of
default / chosen, with its distribution-free 95% interval. In the same way every alternative is timed alone against the
default, with as many threads as were chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from worker_settings import apply_worker_settings

from genbench.data.loading import LoadedData
from genbench.measure import machine
from genbench.measure.clock import time_window
from genbench.measure.interference import InterferenceMonitor
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.report.engines import step_tuning_lines
from genbench.stats.intervals import median_interval
from genbench.train.builder import build_cell
from genbench.train.engine import Engine
from genbench.train.engines.step_tuning import StepRequest, tune_step
from genbench.train.step_alternatives import step_alternatives, use_options
from genbench.train.torch_setup import threads_used

CELLS = "gan:64,vae:128,conv-vae:64,dcgan:64,dcgan:64:64,dcgan:64:64:bf16"
IMAGES = 1_000_000  # of the profile 'standard'
CPU = torch.device("cpu")


def main() -> None:
    """Measure every cell, print one line on each figure, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default=CELLS, help="MODEL:BATCH[:SIDE[:PRECISION]], separated by commas")
    parser.add_argument("--blocks", type=int, default=11)
    parser.add_argument("--window-seconds", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    apply_worker_settings(arguments.threads)
    catalogue, before = discover(), machine.load_average()
    cells: list[dict[str, Any]] = []
    for cell in arguments.cells.split(","):
        cells.append(measure(cell, catalogue, arguments))
        if arguments.out:
            written = {
                "command": " ".join(["python", *sys.argv]),
                "blocks": arguments.blocks,
                "window_seconds": arguments.window_seconds,
                "threads": arguments.threads,
                "machine": machine.describe(),
                "openmp": machine.openmp_settings(),
                "load_average": [before, machine.load_average()],
                "cells": cells,
            }
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(written, indent=1) + "\n")


def measure(cell: str, catalogue: Catalogue, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the tuner chose for a cell, what that gains, and the times of every alternative."""
    model, batch, *rest = cell.split(":")
    side, precision = int(rest[0]) if rest else 28, rest[1] if len(rest) > 1 else "fp32"
    with threads_used(arguments.threads):
        monitor = InterferenceMonitor(CPU)
        engine = build(model, int(batch), side, precision, catalogue)
        choices = step_alternatives(arguments.threads)
        tuned = tune_step(engine, IMAGES // int(batch), StepRequest())
        print(f"{cell}: {step_tuning_lines(tuned)[0]}", flush=True)
        compare = partial(blocks, engine, arguments.blocks, arguments.window_seconds)
        sides: dict[str, dict[str, str]] = {"default": {}, "chosen": tuned.chosen}
        gained = compare(list(sides), lambda side: use_options(engine, choices, sides[side])) if tuned.chosen else {}
        alone: dict[str, Any] = {}
        use_options(engine, choices, {})
        for choice in choices:
            options = choice.options(engine)
            if len(options) > 1:
                alone[choice.name] = compare(options, partial(choice.use, engine))
                used = tuned.chosen.get(choice.name, options[0]) if choice.name == "threads" else options[0]
                choice.use(engine, used)
        others = monitor.stop().others
    return {
        "cell": cell,
        "tuned": msgspec.to_builtins(tuned),
        "gain": gained,
        "alternatives": alone,
        "others": others,
    }


def blocks(
    engine: Engine, count: int, window_seconds: float, options: Sequence[str], use: Callable[[str], object]
) -> dict[str, Any]:
    """Time the options in turn; return the seconds per step of each, and how many times as fast as the first it is."""
    use(options[-1])
    engine.step()
    once = time_window(engine.step, 2, CPU)[1] / 2
    steps = max(1, round(window_seconds / once))
    seconds: dict[str, list[float]] = {name: [] for name in options}
    for number in range(count):
        for name in options if number % 2 else reversed(options):
            use(name)
            if steps > 1:
                engine.step()  # not timed: caches hold what the other option used
            done, taken = time_window(engine.step, steps, CPU)
            seconds[name].append(taken / done)
    engine.read_terms()
    default, *others = options
    speedups = {
        name: median_interval([before / after for before, after in zip(seconds[default], seconds[name], strict=True)])
        for name in others
    }
    for name, found in speedups.items():
        print(f"  {name} {found.median:.3f} [{found.low:.3f}, {found.high:.3f}] times as fast as {default}", flush=True)
    return {"seconds_per_step": seconds, "speedup": {name: found._asdict() for name, found in speedups.items()}}


def build(model: str, batch: int, side: int, precision: str, catalogue: Catalogue) -> Engine:
    """Return the engine of a cell with random images, grey if they have 28 pixels, else in colour."""
    shape = (1, 28, 28) if side == 28 else (3, side, side)
    given: dict[str, Any] = {"models": model, "batch_size": batch, "precision": precision, "images": IMAGES}
    if side != 28:
        given |= {"datasets": "synthetic", "set": {"synthetic": {"size": side, "channels": 3}}}
    (cell,) = make_plan(make_request(given), catalogue, "cpu").cells
    pixels, labels = torch.randint(0, 256, (1024, *shape), dtype=torch.uint8), torch.arange(1024) % 10
    data = LoadedData(pixels, labels, pixels[:2], labels[:2], num_classes=10, hash="", notes=())
    return build_cell(cell.identity, catalogue, data, CPU).engine


if __name__ == "__main__":
    main()
