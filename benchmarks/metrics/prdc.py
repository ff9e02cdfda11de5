"""Precision, recall, density and coverage: genbench beside the package `prdc`, in time and in memory.

    python benchmarks/metrics/prdc.py --images 10000 --dimensions 2048 --out results/reference/prdc.json

Both are given the same two sets of float32 vectors from a normal distribution, each run in a process of its own, in
turns, so that a machine that slows down slows both. On a machine that has other things to do, read the seconds of all
processors and not those of the clock, and give each side one thread (--threads 1). The memory is the process's peak
(ru_maxrss) above what it had reached when the vectors lay ready and all code was loaded, by a run on a few of them.
The package's four numbers are kept beside ours, whose standard errors are part of the time. It needs `pip install
prdc`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from genbench.measure import machine

SIDES = ("genbench", "prdc")
K = 5
WARM_UP = 64  # vectors


def main() -> None:
    """Measure both sides and write the figures with the raw samples; or, as a worker, one side once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="vectors in each of the two sets")
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.images, arguments.dimensions)))
        return
    runs: list[dict[str, Any]] = []
    for repeat in range(arguments.repeats):
        for side in SIDES if repeat % 2 == 0 else SIDES[::-1]:
            found = in_a_process(side, arguments)
            runs.append(found)
            print(
                f"{side:<9} {found['seconds']:7.2f} s  {found['processor_seconds']:7.2f} s of processors  "
                f"{found['peak_bytes'] / 1e6:8.1f} MB  {found['values']}",
                flush=True,
            )

    def median(of: str) -> dict[str, float]:
        return {side: statistics.median(run[of] for run in runs if run["side"] == side) for side in SIDES}

    seconds, busy, peaks = median("seconds"), median("processor_seconds"), median("peak_bytes")
    report: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "images": arguments.images,
        "dimensions": arguments.dimensions,
        "k": K,
        "threads": arguments.threads,
        "median_seconds": seconds,
        "median_processor_seconds": busy,
        "median_peak_bytes": peaks,
        "time_ratio": seconds["genbench"] / seconds["prdc"],
        "processor_time_ratio": busy["genbench"] / busy["prdc"],
        "memory_ratio": peaks["genbench"] / peaks["prdc"],
        "runs": runs,
        "machine": machine.describe(),
    }
    ratios = {name: round(value, 3) for name, value in report.items() if name.endswith("_ratio")}
    print(f"genbench / prdc: {ratios}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def in_a_process(side: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what one side's own process says."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(arguments.threads))
    size = ["--images", str(arguments.images), "--dimensions", str(arguments.dimensions)]
    # -P: this file's own directory is not searched, where it would be taken for the package of the same name
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--side", side, *size]
    done = subprocess.run(command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(side: str, images: int, dimensions: int) -> dict[str, Any]:
    """Return one run: its times, its bytes above the baseline, the four numbers, and the load of the machine."""
    import torch

    from genbench.metrics.manifolds import overlap
    from genbench.metrics.standard_errors import make_blocks

    real, samples = (torch.randn(images, dimensions, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))

    def ours(count: int) -> dict[str, float]:
        blocks = make_blocks(count, torch.Generator().manual_seed(2))
        return {
            name: score.value for name, score in overlap(real[:count], samples[:count], blocks, K)._asdict().items()
        }

    def theirs(count: int) -> dict[str, float]:
        import prdc

        with contextlib.redirect_stdout(sys.stderr):  # it prints
            found = prdc.compute_prdc(real[:count].numpy(), samples[:count].numpy(), K)
        return {name: float(value) for name, value in found.items()}

    run = ours if side == "genbench" else theirs
    run(WARM_UP)
    load, baseline = os.getloadavg()[0], peak_bytes()
    begin, busy = time.perf_counter(), time.process_time()
    values = run(images)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    return {
        "side": side,
        "seconds": seconds,
        "processor_seconds": busy,
        "peak_bytes": peak_bytes() - baseline,
        "values": values,
        "load_average": [load, os.getloadavg()[0]],
        "version": f"torch {torch.__version__}" if side == "genbench" else _version("prdc"),
    }


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)


if __name__ == "__main__":
    main()
