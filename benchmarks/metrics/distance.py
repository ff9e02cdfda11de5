"""Time and accuracy of the Fréchet distance compared with pytorch-fid, interleaved in one process.

    python benchmarks/metrics/distance.py --out results/reference/distance.json

Both get the mean and covariance of 2,048 features of the samples. `calculate_frechet_distance` of pytorch-fid also gets
those of the reference, and computes scipy's matrix square root; genbench reads the factor of the reference from its
cache, and computes a sum of singular values. Repetitions alternate in the order ABBA, on the same number of threads.
The result is the median over repetitions of the ratio pytorch-fid / genbench, with raw samples, in wall time and in CPU
time, which is more reliable on a machine with other load. `identical` is genbench's slowest case: the distance of a set
to itself, where eigenvalues lose all digits and exact singular values are computed.

The `cases`, on 512 features, have a known distance and are numerically difficult for the matrix square root.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor

from genbench.features.covariance_factor import factor_of
from genbench.features.statistics_file import read_statistics, write_statistics
from genbench.measure import machine
from genbench.metrics.frechet import Statistics, frechet_distance, jackknife_distance, statistics
from genbench.metrics.standard_errors import make_blocks
from genbench.stats.intervals import median_interval

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FEATURES, IMAGES, DIFFICULT = 2048, 10_000, 512


def main() -> None:
    """Measure and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    wanted = {name: str(arguments.threads) for name in THREADS}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        # linear algebra libraries read their settings when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    torch.set_num_threads(arguments.threads)
    load_before = os.getloadavg()
    samples, reference = features(IMAGES, FEATURES, seed=1), 1.05 * features(IMAGES, FEATURES, seed=2) + 0.02
    report = {
        "command": " ".join(["python", *sys.argv]),
        "features": FEATURES,
        "images": IMAGES,
        "different": compare(samples, reference, arguments.repetitions),
        "identical": compare(samples, samples, 1),
        "jackknife": measure_jackknife(samples[:5000], reference),
        "cases": measure_difficult_cases(),
        "threads": arguments.threads,
        "load": {"before": load_before, "after": os.getloadavg()},
        "versions": {name: sys.modules[name].__version__ for name in ("torch", "numpy", "scipy")},
        "machine": machine.describe(),
    }
    for name in ("different", "identical"):
        found = report[name]
        print(
            f"{name:<10} pytorch-fid / genbench {found['ratio']:.2f} (wall), {found['processor_ratio']:.2f} (CPU); "
            f"genbench {found['ours']:.9g}, pytorch-fid {found['theirs']:.9g}"
        )
    print(f"jackknife of 5,000 samples: {report['jackknife']['processor_seconds']:.1f} s of CPU time")
    for case in report["cases"]:
        print(f"{case['case']}: exact {case['exact']:.6g}, genbench {case['ours']:.6g}, pytorch-fid {case['theirs']}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def features(n: int, d: int, seed: int) -> Tensor:
    """Return features (n, d) in float32 whose variances span four decades, in random directions."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, d, generator=rng) * torch.logspace(0, -2, d)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(0))).Q
    return drawn @ rotation + 0.5


def compare(samples: Tensor, reference: Tensor, repetitions: int) -> dict[str, Any]:
    """Return ratios and values from interleaved repetitions."""
    (mean, covariance), (their_mean, their_covariance) = moments(samples), moments(reference)
    cached = through_file(statistics(reference))

    def ours() -> float:
        factor = factor_of(torch.from_numpy(covariance))
        return frechet_distance(Statistics(torch.from_numpy(mean), factor, len(samples)), cached)

    def theirs() -> float:
        return float(peer_distance(mean, covariance, their_mean, their_covariance)[0])

    walls: dict[str, list[float]] = {"ours": [], "theirs": []}
    processors: dict[str, list[float]] = {"ours": [], "theirs": []}
    values: dict[str, float] = {}
    ours()  # load the library
    for repetition in range(repetitions):
        pair = [("ours", ours), ("theirs", theirs)]
        for name, call in pair if repetition % 2 else reversed(pair):
            values[name], wall, processor = timed(call)
            walls[name].append(wall)
            processors[name].append(processor)
    ratios = [b / a for a, b in zip(walls["ours"], walls["theirs"], strict=True)]
    processor_ratios = [b / a for a, b in zip(processors["ours"], processors["theirs"], strict=True)]
    ratio, processor_ratio = median_interval(ratios), median_interval(processor_ratios)
    return {
        **values,
        "relative_difference": abs(values["ours"] / values["theirs"] - 1),
        "ratio": ratio.median,
        "low": ratio.low,
        "high": ratio.high,
        "confidence": ratio.confidence,
        "processor_ratio": processor_ratio.median,
        "seconds": walls,
        "processor_seconds": processors,
    }


def measure_difficult_cases() -> list[dict[str, Any]]:
    """Return both distances in difficult cases with a known distance."""
    few, many = features(100, DIFFICULT, seed=3), features(2000, DIFFICULT, seed=4)
    shift = torch.linspace(0, 0.1, DIFFICULT)
    dead = torch.cat([many[:, :-50], torch.zeros(len(many), 50)], 1)
    constant = torch.full((50, DIFFICULT), 0.5)
    apart = float((many.double().mean(0) - 0.5).square().sum() + many.double().var(0).sum())
    pairs = [
        ("fewer images than features, a set and itself", few, few, 0.0),
        ("fewer images than features, a set and itself moved", few, few + shift, float(shift.double().square().sum())),
        ("a set and itself", many, many, 0.0),
        ("fifty features that are always zero, a set and itself", dead, dead, 0.0),
        ("constant features, a set and itself", constant, constant, 0.0),
        ("constant features and others", many, constant, apart),
    ]
    found = []
    for name, a, b, exact in pairs:
        theirs, said = peer_distance(*moments(a), *moments(b))
        ours = frechet_distance(statistics(a), statistics(b))
        found.append({"case": name, "exact": exact, "ours": ours, "theirs": theirs, "theirs_says": said})
    return found


def peer_distance(*arguments: np.ndarray[Any, Any]) -> tuple[float | str, list[str]]:
    """Return pytorch-fid's distance or its error, and the lines that it warned or printed."""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            value: float | str = float(calculate_frechet_distance(*arguments))
        except Exception as error:
            value = f"{type(error).__name__}: {error}"
    said = [f"{w.category.__name__}: {w.message}" for w in caught if "disp" not in str(w.message)]
    return value, [*said, *printed.getvalue().splitlines()]


def measure_jackknife(samples: Tensor, reference: Tensor) -> dict[str, Any]:
    """Return the time to compute the standard error and the bias of a distance."""
    fitted, blocks = statistics(reference), make_blocks(len(samples), torch.Generator().manual_seed(0))
    found, wall, processor = timed(lambda: jackknife_distance(samples, fitted, blocks))
    return {
        "samples": len(samples),
        "blocks": len(blocks),
        "seconds": wall,
        "processor_seconds": processor,
        "standard_error": found.standard_error,
        "bias": found.bias,
    }


def through_file(reference: Statistics) -> Statistics:
    """Write statistics to a file and read them back, as a later run reads them from the cache."""
    with tempfile.TemporaryDirectory() as directory:
        write_statistics(Path(directory) / "reference.npz", reference)
        return read_statistics(Path(directory) / "reference.npz").statistics


def moments(of: Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return mean and covariance as pytorch-fid computes them."""
    array = of.double().numpy()
    return array.mean(0), np.cov(array, rowvar=False)


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return a result, its wall time and its CPU time in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - processor


if __name__ == "__main__":
    main()
