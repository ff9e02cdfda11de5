"""Whether `run`, `ab` and the fixture `genbench_step` find the same speed of the same step, on this machine.

    python benchmarks/agreement.py --out results/reference/agreement.json

Each route measures each model in processes of its own, as its users do, and the routes take turns in every round, so
that a machine that slows down affects all. Compared are the medians of the rounds with their distribution-free
intervals: two routes agree where these overlap. `--device cuda` measures there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genbench.measure import machine
from genbench.process.environment import worker_environment
from genbench.stats.intervals import median_interval

WINDOWS = 20  # of `ab` and of the fixture


def main() -> None:
    """Measure every model by every route in turn, and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="gan,dcgan,vae,conv-vae")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=10, help="steps of a window of `ab` and of the fixture")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a child process measures
    given = parser.parse_args()
    if given.one:
        route, model = given.one.split(":")
        print(json.dumps(ROUTES[route](model, given)))
        return
    rows = []
    for model in given.models.split(","):
        speeds: dict[str, list[float]] = {route: [] for route in ROUTES}
        for number in range(given.rounds):
            for route in list(ROUTES) if number % 2 else reversed(ROUTES):
                speeds[route].append(measured_in_child(route, model))
        rows.append({"model": model, "images_per_second": speeds, "agree": agreement(speeds)})
        medians = ", ".join(f"{route} {statistics.median(found):,.0f}" for route, found in speeds.items())
        print(f"{model:<10} {medians} img/s; {rows[-1]['agree']}", flush=True)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine.describe(),
        **{name: getattr(given, name) for name in ("device", "engine", "precision", "batch_size", "threads", "rounds")},
        "rows": rows,
    }
    if given.out:
        given.out.write_text(json.dumps(report, indent=1) + "\n")


def measured_in_child(route: str, model: str) -> float:
    """Return the images per second that one process finds."""
    command = [sys.executable, *sys.argv, "--one", f"{route}:{model}"]
    done = subprocess.run(command, env=worker_environment(), stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def agreement(speeds: dict[str, list[float]]) -> dict[str, bool]:
    """Return for each pair of routes whether the intervals of their medians overlap."""
    found = {route: median_interval(values, 0.9) for route, values in speeds.items()}
    pairs = itertools.combinations(found.items(), 2)
    return {f"{a} and {b}": one.low <= other.high and other.low <= one.high for (a, one), (b, other) in pairs}


def recipe(model: str, given: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that all routes are given."""
    return {
        "models": model,
        "batch_size": given.batch_size,
        "engine": given.engine,
        "precision": given.precision,
        "profile": "smoke",
        "metrics": "none",
    }


def by_run(model: str, given: argparse.Namespace) -> float:
    """Train a cell with `genbench run`, and return the throughput in its result."""
    images = str(40 * given.steps * given.batch_size)
    flags = [
        word for name, value in recipe(model, given).items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "genbench", "run", *flags, "--images", images, "--device", given.device]
        command += ["--threads", str(given.threads), "--reporters", "none", "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (result,) = (json.loads(path.read_text()) for path in (out / "cells").glob("*.json"))
    return float(result["throughput"]["images_per_second"])


def by_ab(model: str, given: argparse.Namespace) -> float:
    """Time windows as an arm of `genbench ab` does, which pauses between them."""
    from genbench.ab.live import LiveWorker
    from genbench.ab.wire import Open, Opened, Prepare, Prepared, Time, Timed

    worker = LiveWorker()
    prepared = worker.answer(Prepare(given=recipe(model, given), device=given.device, threads=given.threads))
    assert isinstance(prepared, Prepared), prepared
    opened = worker.answer(Open(cell=model, warmup=20))
    assert isinstance(opened, Opened), opened
    seconds = []
    for _ in range(WINDOWS):
        timed = worker.answer(Time(given.steps))
        assert isinstance(timed, Timed), timed
        seconds.append(timed.seconds)
        time.sleep(timed.seconds)  # the turn of the other arm
    return opened.images_per_step * given.steps / statistics.median(seconds)


def by_fixture(model: str, given: argparse.Namespace) -> float:
    """Time windows with the fixture `genbench_step` of pytest-benchmark."""
    settings = {name: value for name, value in recipe(model, given).items() if name != "models"}
    test = f"""
def test_step(genbench_step):
    genbench_step({model!r}, rounds={WINDOWS}, steps={given.steps}, device={given.device!r}, **{settings!r})
"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_step.py"
        path.write_text(test)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "genbench.pytest_plugin", "-p", "no:xdist", str(path)]
        command += ["--benchmark-enable", f"--benchmark-json={folder}/found.json", f"--rootdir={folder}"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        (found,) = json.loads((Path(folder) / "found.json").read_text())["benchmarks"]
    images = found["extra_info"]["genbench"]["images_per_step"]
    return float(images / found["stats"]["median"])


ROUTES: dict[str, Callable[[str, argparse.Namespace], float]] = {
    "run": by_run,
    "ab": by_ab,
    "fixture": by_fixture,
}


if __name__ == "__main__":
    main()
