"""The cost of each input mode per step: images resident on the device, or a DataLoader with worker processes.

    python benchmarks/input_modes.py --out results/reference/input-modes.json

For each cell, one training is fed by each mode in turn, in short windows, forwards and backwards through the modes, so
that slowdowns of the machine affect all. The result is the median over blocks of seconds with the mode / seconds with
resident images, with its distribution-free 95% interval, and the CPU time that this process alone spends on a batch.
`--cold GIB` instead measures how long steps of `--step-ms` wait for a file of that size that is not in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from worker_settings import apply_worker_settings

from genbench.data.loader import LoaderImages
from genbench.data.loading import load_data
from genbench.data.source import BatchSettings, TrainingImages
from genbench.measure import machine
from genbench.measure.clock import time_window
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.stats.intervals import median_interval
from genbench.train.builder import build_cell
from genbench.train.engines.memory_format_choice import choose_memory_format

BATCHES = 100  # per measurement of the CPU time of a batch
COLD_STEPS = 200
COLD_SHAPE, COLD_BATCH = (3, 64, 64), 64


def main() -> None:
    """Measure every cell and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="gan:64,gan:128,vae:64,vae:128,dcgan:64,dcgan:128", help="model:batch size")
    parser.add_argument("--workers", default="0,1,2", help="comma-separated numbers of worker processes of the loader")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--window-seconds", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument(
        "--cold", type=float, metavar="GIB", help="measure a file of this size that is not in the page cache"
    )
    parser.add_argument("--step-ms", type=float, default=6.0, help="with --cold: duration of a step without waiting")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    apply_worker_settings(arguments.threads)
    workers = [int(number) for number in arguments.workers.split(",")]
    rows: list[dict[str, Any]] = []
    if arguments.cold:
        rows = measure_cold(arguments.cold, workers, arguments.step_ms / 1e3, arguments.blocks)
    else:
        catalogue = discover()
        for cell in arguments.cells.split(","):
            rows += compare(cell, workers, catalogue, arguments)
    written = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine.describe(),
        "openmp": machine.openmp_settings(),
        "device": arguments.device,
        "threads": arguments.threads,
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def compare(cell: str, workers: list[int], catalogue: Catalogue, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per mode: the ratio to resident images, and the CPU time of a batch in this process."""
    model, batch_size = cell.split(":")
    device = torch.device(arguments.device)
    (planned,) = make_plan(make_request({"models": model, "batch_size": int(batch_size)}), catalogue, device.type).cells
    data = load_data(planned.identity.dataset, planned.identity.image_shape, catalogue)
    built = build_cell(planned.identity, catalogue, data, device)
    engine = built.engine
    choose_memory_format(engine)
    common = (data.train_pixels, None, int(batch_size), built.model.value_range, device)
    sources: dict[str, TrainingImages] = {"resident": engine.data}
    for number in workers:
        rng = torch.Generator().manual_seed(0)
        settings = BatchSettings(*common, rng, built.memory_format)
        sources[f"loader, {number} workers"] = LoaderImages(settings, workers=number)

    def window(name: str, steps: int) -> float:
        engine.data = sources[name]
        done, seconds = time_window(engine.step, steps, device)
        return seconds / done

    for name in sources:
        window(name, 5)
    steps = max(2, round(arguments.window_seconds / window("resident", 10)))
    samples: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(arguments.blocks):
        names = [*sources, *reversed(sources)]
        spent = dict.fromkeys(sources, 0.0)
        for name in names:
            spent[name] += window(name, steps) / 2
        engine.read_terms()
        for name, seconds in spent.items():
            samples[name].append(seconds)
    rows = []
    for name, source in sources.items():
        ratios = median_interval([a / b for a, b in zip(samples[name], samples["resident"], strict=True)], 0.95)
        row = {
            "model": model,
            "batch_size": int(batch_size),
            "input": name,
            "ratio": ratios.median,
            "low": ratios.low,
            "high": ratios.high,
            "seconds_per_step": statistics.median(samples[name]),
            "processor_seconds_per_batch": cpu_seconds_per_batch(source.next_batch),
        }
        print(row, flush=True)
        rows.append({**row, "samples": samples[name]})
        source.close()
    return rows


def cpu_seconds_per_batch(next_batch: Callable[[], object]) -> float:
    """Return the CPU time per batch of all threads of this process: the median of seven measurements."""
    found = []
    for _ in range(7):
        begin = time.process_time()
        for _ in range(BATCHES):
            next_batch()
        found.append((time.process_time() - begin) / BATCHES)
    return statistics.median(found)


def measure_cold(gibibytes: float, workers: list[int], step_seconds: float, blocks: int) -> list[dict[str, Any]]:
    """Return seconds per step with batches of 64×64 colour images from a file that is evicted from memory each time."""
    rows: list[dict[str, Any]] = [{"input": f"loader, {number} workers", "samples": []} for number in workers]
    count = round(gibibytes * 2**30 / np.prod(COLD_SHAPE))
    with tempfile.NamedTemporaryFile(suffix=".npy", dir=Path.cwd()) as file:
        written = np.lib.format.open_memmap(file.name, "w+", np.uint8, (count, *COLD_SHAPE))
        for begin in range(0, count, 4096):
            written[begin : begin + 4096] = begin % 251
        written.flush()
        del written
        for block in range(blocks):
            for number, row in zip(workers, rows, strict=True):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                pixels = torch.from_numpy(np.load(file.name, mmap_mode="r+"))
                rng = torch.Generator().manual_seed(block)
                settings = BatchSettings(pixels, None, COLD_BATCH, (-1, 1), torch.device("cpu"), rng)
                images = LoaderImages(settings, workers=number)
                begin_time = time.perf_counter()
                for _ in range(COLD_STEPS):
                    images.next_batch()
                    _compute(step_seconds)
                row["samples"].append((time.perf_counter() - begin_time) / COLD_STEPS)
                images.close()
                del images, pixels
    for row in rows:
        row |= {"step_seconds": step_seconds, "seconds_per_step": statistics.median(row["samples"])}
        print({name: value for name, value in row.items() if name != "samples"}, flush=True)
    return rows


def _compute(seconds: float) -> None:
    factor, deadline = torch.rand(256, 256), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        factor @ factor


if __name__ == "__main__":
    main()
