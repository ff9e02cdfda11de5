"""The scheduling of jobs by a simulation: 1,000 workers on a virtual clock, and 10,000 faults of every kind.

    python benchmarks/simulated_schedule.py --out results/reference/simulated-schedule.json

simulates an engine behind genbench's own schedule (`genbench/runner/jobs/schedule.py`): no process and no waiting. Jobs
take an exponentially distributed time of a minute in the mean. Faults: a node is lost; its result arrives after the job
was given to another; a result arrives twice; the engine takes only some of the jobs that it is offered; the command is
killed and resumed; a job that has delivered is reported as lost. It exits with 1 if a task is lost or has two results.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from simulated_engine import Simulation, most_attempts


def main() -> int:
    """Simulate without and with faults, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=12_500)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    size = (given.tasks, given.workers)
    cases = {
        "without_faults": [simulated(*size, 0, seed) for seed in range(given.seeds)],
        "with_faults": [simulated(*size, given.faults, seed, restarts=False) for seed in range(given.seeds)],
        "with_faults_and_restarts": [simulated(*size, given.faults, seed) for seed in range(given.seeds)],
    }
    found = {
        "command": "python benchmarks/simulated_schedule.py "
        f"--tasks {given.tasks} --workers {given.workers} --faults {given.faults} --seeds {given.seeds}",
        "most_attempts": most_attempts(),
        **cases,
    }
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    return int(any(one["lost"] or one["with_two_results"] for case in cases.values() for one in case))


def simulated(tasks: int, workers: int, faults: int, seed: int, restarts: bool = True) -> dict[str, Any]:
    """Simulate one plan and return what became of its tasks."""
    simulation = Simulation(tasks=tasks, workers=workers, faults=faults, seed=seed, restarts=restarts)
    begin = time.process_time()
    simulation.run()
    ended = len(simulation.results) + len(simulation.given_up - {*simulation.results})
    place = {task: number for number, task in enumerate(simulation.first_starts)}
    moved = [abs(place[f"task-{number}"] - number) for number in range(tasks)]
    return {
        "seed": seed,
        "faults": dict(sorted((+simulation.injected).items())),
        "with_one_result": sum(count == 1 for count in simulation.results.values()),
        "with_two_results": sum(count > 1 for count in simulation.results.values()),
        "given_up": len(simulation.given_up),
        "lost": tasks - ended,
        "deliveries_refused": simulation.refused,
        "attempts": dict(sorted(Counter(simulation.attempts.values()).items())),
        "places_from_plan_order": {"most": max(moved), "mean": statistics.fmean(moved)},
        "seconds_until_tried_again": quantiles(simulation.tried_again_after),
        "busiest": simulation.busiest,
        "virtual_seconds": round(simulation.now, 1),
        "processor_seconds": round(time.process_time() - begin, 2),
    }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum."""
    if len(values) < 2:
        return {}
    parts = statistics.quantiles(values, n=100)
    return {"median": round(parts[49], 1), "p99": round(parts[98], 1), "most": round(max(values), 1)}


if __name__ == "__main__":
    sys.exit(main())
