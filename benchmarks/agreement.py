"""Whether `run`, `ab` and the fixture `genbench_step` find the same speed of the same step, on this machine.

    python benchmarks/agreement.py --out results/reference/agreement.json

Each route measures the models in processes of its own, as its users do, and the routes take turns in every round, so
that a machine that slows down affects all. Compared are the images per second that a route reports and, in the same
processes, the processor time and the page faults of a step: on a machine with other work these tell two steps apart
where the speeds are too noisy. The processor time is that of all threads, and the lowest tenth of the steps of a
process, because other programs that use the caches make it longer. Two routes agree where the distribution-free 90 %
intervals of the medians of the rounds overlap. `--device cuda` measures there; the processor time is then that of
launching. Page faults are shown and not judged: with the C library's own settings a step has thousands, and one in a
forked worker has a single one.
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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from step_probe import processor_times

from genbench.measure import machine
from genbench.process.environment import worker_environment
from genbench.stats.intervals import median_interval

WINDOWS = 15  # of `ab` and of the fixture; `run` has 40 in a training
WARMUP_STEPS = 20
PROBE = Path(__file__).parent / "step_probe"
QUANTITIES = ("images_per_second", "processor_seconds", "page_faults")
Found = dict[str, dict[str, float]]  # by model and quantity


def main() -> None:
    """Measure every model by every route in turn, and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="gan,dcgan,vae,conv-vae")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--engine", default="eager")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--window-seconds", type=float, default=0.03, help="about the length of every route's windows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", default="", help=argparse.SUPPRESS)  # of a window, by model
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the route that a child process measures
    given = parser.parse_args()
    models = given.models.split(",")
    if given.one:
        steps = [int(number) for number in given.steps.split(",")] if given.steps else [1] * len(models)
        print(json.dumps(ROUTES[given.one](dict(zip(models, steps, strict=True)), given)))
        return
    begin, load = time.monotonic(), machine.load_average()
    seconds = measured("pace")
    steps = [max(1, round(given.window_seconds / seconds[model]["seconds_per_step"])) for model in models]
    further = ["--steps", ",".join(map(str, steps))]
    routes = [route for route in ROUTES if route != "pace"]
    rounds: list[dict[str, Found]] = []
    for number in range(given.rounds):
        order = routes if number % 2 else routes[::-1]
        found = {route: measured(route, *further) for route in order}
        rounds.append({route: found[route] for route in routes})
        print(f"round {number + 1} of {given.rounds} after {time.monotonic() - begin:.0f} s", file=sys.stderr)
    report = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine.describe(),
        "load_average": {"before": load, "after": machine.load_average(), "own_threads": given.threads},
        "minutes": (time.monotonic() - begin) / 60,
        **{name: getattr(given, name) for name in ("device", "engine", "precision", "batch_size", "threads", "rounds")},
        "models": {model: compared(model, count, rounds) for model, count in zip(models, steps, strict=True)},
    }
    for model, row in report["models"].items():
        print(model, *lines(row), sep="\n", flush=True)
    if given.out:
        given.out.write_text(json.dumps(report, indent=1) + "\n")


def measured(route: str, *further: str) -> Found:
    """Return what one process finds, in the environment of a user who has set nothing."""
    command = [sys.executable, *sys.argv, "--one", route, *further]
    own = set(worker_environment({})) | {"OMP_NUM_THREADS"}
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join(filter(None, [str(PROBE), os.environ.get("PYTHONPATH", "")]))
        environment = {name: value for name, value in os.environ.items() if name not in own}
        environment |= {"PYTHONPATH": path, "STEP_PROBE": "processor_times", "STEP_COSTS": folder}
        if route == "ab":
            environment = worker_environment(environment)  # as the session starts its arms
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(model: str, steps: int, rounds: Sequence[Mapping[str, Found]]) -> dict[str, Any]:
    """Return the samples of every route, and what each pair of routes has in common."""
    row: dict[str, Any] = {"window_steps": steps}
    for quantity in QUANTITIES:
        samples = {route: [found[route][model][quantity] for found in rounds] for route in rounds[0]}
        intervals = {route: median_interval(values, 0.9) for route, values in samples.items()}
        row[quantity] = {"samples": samples}
        if quantity == "page_faults":
            continue
        row[quantity] |= {
            "ratios": {
                f"{a} / {b}": ratio([x / y for x, y in zip(samples[a], samples[b], strict=True)])
                for a, b in itertools.combinations(samples, 2)
            },
            "agree": {
                f"{a} and {b}": one.low <= other.high and other.low <= one.high
                for (a, one), (b, other) in itertools.combinations(intervals.items(), 2)
            },
        }
    return row


def ratio(values: Sequence[float]) -> dict[str, float]:
    """Return the median of the rounds' ratios with its interval."""
    found = median_interval(values, 0.9)
    return {"median": found.median, "low": found.low, "high": found.high}


def lines(row: Mapping[str, Any]) -> list[str]:
    """Return what is printed of a model."""
    shown = []
    for quantity in QUANTITIES:
        found = row[quantity]
        parts = [", ".join(f"{route} {statistics.median(values):.4g}" for route, values in found["samples"].items())]
        if "ratios" in found:
            apart = [pair for pair, agree in found["agree"].items() if not agree]
            parts += [
                f"{pair} {one['median']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
                for pair, one in found["ratios"].items()
            ]
            parts.append(f"differ: {', '.join(apart)}" if apart else "all agree")
        shown.append(f"  {quantity}: {'; '.join(parts)}")
    return shown


def recipe(given: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that all routes are given."""
    common = {name: getattr(given, name) for name in ("batch_size", "engine", "precision")}
    return {**common, "profile": "smoke", "metrics": "none"}


def costs() -> list[dict[str, float]]:
    """Return the processor time and the page faults of a step of each engine, without the warm-up."""
    found = []
    for steps in filter(None, processor_times.read(Path(os.environ["STEP_COSTS"]))):
        seconds, faults = zip(*(steps[WARMUP_STEPS:] or steps), strict=True)
        lowest = sorted(seconds)[len(seconds) // 10]
        found.append({"processor_seconds": lowest, "page_faults": statistics.median(faults)})
    return found


def by_run(steps: Mapping[str, int], given: argparse.Namespace) -> Found:
    """Train cells with `genbench run`, and return the throughput in their results."""
    flags = [word for name, value in recipe(given).items() for word in (f"--{name.replace('_', '-')}", str(value))]
    flags += ["--device", given.device, "--threads", str(given.threads), "--reporters", "none"]
    found = {}
    for model, count in steps.items():
        images = (40 * count + WARMUP_STEPS) * given.batch_size
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as times:
            os.environ["STEP_COSTS"] = times
            out = Path(folder) / "run"
            command = [sys.executable, "-m", "genbench", "run", *flags, "--models", model, "--images", str(images)]
            subprocess.run(
                [*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            (result,) = (json.loads(path.read_text()) for path in (out / "cells").glob("*.json"))
            (cost,) = costs()
        found[model] = {"images_per_second": result["throughput"]["images_per_second"], **cost}
    return found


def opened(steps: Mapping[str, int], given: argparse.Namespace) -> tuple[Any, dict[str, Callable[[], Any]]]:
    """Return a worker of an arm that has planned the models, and a function for each that opens its cell."""
    from genbench.ab.live import LiveWorker
    from genbench.ab.wire import Open, Opened, Prepare, Prepared

    worker = LiveWorker()
    models = ",".join(steps)
    prepared = worker.answer(
        Prepare(given={**recipe(given), "models": models}, device=given.device, threads=given.threads)
    )
    assert isinstance(prepared, Prepared), prepared

    def opener(model: str) -> Callable[[], Any]:
        def open_cell() -> Opened:
            answer = worker.answer(Open(cell=model, warmup=WARMUP_STEPS))
            assert isinstance(answer, Opened), answer
            return answer

        return open_cell

    return worker, {model: opener(model) for model in steps}


def pace(steps: Mapping[str, int], given: argparse.Namespace) -> Found:
    """Return roughly how long a step takes on a machine without other work."""
    _, cells = opened(steps, given)
    for open_cell in cells.values():
        open_cell()
    return {
        model: {"seconds_per_step": cost["processor_seconds"] / given.threads}
        for model, cost in zip(steps, costs(), strict=True)
    }


def by_ab(steps: Mapping[str, int], given: argparse.Namespace) -> Found:
    """Time windows as an arm of `genbench ab` does, which pauses between them."""
    from genbench.ab.wire import Time, Timed

    worker, cells = opened(steps, given)
    speeds = {}
    for model, open_cell in cells.items():
        images, seconds = open_cell().images_per_step, []
        for _ in range(WINDOWS):
            timed = worker.answer(Time(steps[model]))
            assert isinstance(timed, Timed), timed
            seconds.append(timed.seconds)
            time.sleep(timed.seconds)  # the turn of the other arm
        speeds[model] = images * steps[model] / statistics.median(seconds)
    return with_costs(speeds)


def by_fixture(steps: Mapping[str, int], given: argparse.Namespace) -> Found:
    """Time windows with the fixture `genbench_step` of pytest-benchmark."""
    further = {**recipe(given), "device": given.device, "threads": given.threads, "rounds": WINDOWS}
    tests = [
        f"def test_{number}(genbench_step): genbench_step({model!r}, steps={count}, **{further!r})"
        for number, (model, count) in enumerate(steps.items())
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_step.py"
        path.write_text("\n".join(tests) + "\n")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "genbench.pytest_plugin", "-p", "no:xdist", str(path)]
        command += ["--assert=plain"]  # pytest's own import hook would come before that of the probe
        command += ["--benchmark-enable", f"--benchmark-json={folder}/found.json", f"--rootdir={folder}"]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = json.loads((Path(folder) / "found.json").read_text())["benchmarks"]
    speeds = {
        model: benchmark["extra_info"]["genbench"]["images_per_step"] / benchmark["stats"]["median"]
        for model, benchmark in zip(steps, found, strict=True)
    }
    return with_costs(speeds)


def with_costs(speeds: Mapping[str, float]) -> Found:
    """Add what a step costs to the speeds of models that this process trained in turn."""
    found = zip(speeds.items(), costs(), strict=True)
    return {model: {"images_per_second": speed, **cost} for (model, speed), cost in found}


ROUTES: dict[str, Callable[[Mapping[str, int], argparse.Namespace], Found]] = {
    "pace": pace,
    "run": by_run,
    "ab": by_ab,
    "fixture": by_fixture,
}


if __name__ == "__main__":
    main()
