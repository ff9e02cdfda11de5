"""Precision, recall, density and coverage: time and memory of genbench compared with the package `prdc`.

    python benchmarks/metrics/prdc.py --images 10000 --dimensions 2048 --out results/reference/prdc.json

Both get the same two sets of float32 vectors from a normal distribution. Each run has a separate process, and the two
alternate, so that slowdowns of the machine affect both. On a machine with other load, read the CPU time instead of the
wall time, and use one thread each (--threads 1). Memory is the peak of the process (ru_maxrss) minus the peak after a
run on a few vectors, when all vectors exist and all code is loaded. The results of both are stored; genbench's time
includes its standard errors. It needs `pip install prdc`.
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

IMPLEMENTATIONS = ("genbench", "prdc")
K = 5
WARM_UP = 64  # vectors


def main() -> None:
    """Measure both implementations and write the results; or, as a child process, measure one of them once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="vectors in each of the two sets")
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--implementation", choices=IMPLEMENTATIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.implementation:
        print(json.dumps(measure(arguments.implementation, arguments.images, arguments.dimensions)))
        return
    runs: list[dict[str, Any]] = []
    for repeat in range(arguments.repeats):
        for name in IMPLEMENTATIONS if repeat % 2 == 0 else IMPLEMENTATIONS[::-1]:
            found = measure_in_child(name, arguments)
            runs.append(found)
            print(
                f"{name:<9} {found['seconds']:7.2f} s  {found['processor_seconds']:7.2f} s CPU  "
                f"{found['peak_bytes'] / 1e6:8.1f} MB  {found['values']}",
                flush=True,
            )

    def median(of: str) -> dict[str, float]:
        return {name: statistics.median(run[of] for run in runs if run["side"] == name) for name in IMPLEMENTATIONS}

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


def measure_in_child(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one implementation in a separate process."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(arguments.threads))
    size = ["--images", str(arguments.images), "--dimensions", str(arguments.dimensions)]
    # -P: do not import from this directory, where this file would shadow the package of the same name
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--implementation", name, *size]
    done = subprocess.run(command, env={**os.environ, **threads}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(name: str, images: int, dimensions: int) -> dict[str, Any]:
    """Run once; return times, bytes above the baseline, the four values, and the load of the machine."""
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

        with contextlib.redirect_stdout(sys.stderr):  # it prints to stdout
            found = prdc.compute_prdc(real[:count].numpy(), samples[:count].numpy(), K)
        return {name: float(value) for name, value in found.items()}

    run = ours if name == "genbench" else theirs
    run(WARM_UP)
    load, baseline = os.getloadavg()[0], peak_bytes()
    begin, busy = time.perf_counter(), time.process_time()
    values = run(images)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    return {
        "side": name,
        "seconds": seconds,
        "processor_seconds": busy,
        "peak_bytes": peak_bytes() - baseline,
        "values": values,
        "load_average": [load, os.getloadavg()[0]],
        "version": f"torch {torch.__version__}" if name == "genbench" else _version("prdc"),
    }


def peak_bytes() -> int:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _version(distribution: str) -> str:
    from importlib.metadata import version

    return version(distribution)


if __name__ == "__main__":
    main()
