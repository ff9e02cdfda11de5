"""What cells that run at the same time gain, and what that does to their speeds.

    python benchmarks/cells_at_a_time.py --rounds 5 --out results/reference/cells-at-a-time.json

runs the same cells in three ways, each in a process of its own, in turn: `alone`, one at a time; `turns`, two at a time
of which one trains (`--parallel 2 --timing turns`); `shared`, two that train side by side. Each cell has one thread.
The order changes from round to round. A gain is the time of `alone` divided by that of the other way in the same round;
a speed is that of a cell's training relative to the same cell of `alone`, so 1 means undisturbed. `most_of_turns` is
what `turns` could gain at most: training is done one cell after the other. On a busy machine only the ratios mean
anything, and they do only if the load was the same throughout: the load average is stated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genbench.measure import machine
from genbench.results.store import RunDirectory

WAYS: dict[str, tuple[str, ...]] = {
    "alone": (),
    "turns": ("--parallel", "2", "--timing", "turns"),
    "shared": ("--parallel", "2", "--timing", "shared"),
}


class Round(NamedTuple):
    """One run in one way."""

    seconds: float  # from the start of the command to its end
    training: float  # seconds of all cells together
    speeds: dict[str, float]  # images per second, by cell
    weights: dict[str, bytes]


def main() -> int:
    """Run the cells in each way and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="vae,dcgan")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    plan = {name: str(getattr(given, name)) for name in ("models", "seeds", "images", "samples")}
    load, rounds = [os.getloadavg()], []
    for number in range(given.rounds):
        order = [*WAYS][number % len(WAYS) :] + [*WAYS][: number % len(WAYS)]
        rounds.append({way: executed(way, plan) for way in order})
        load.append(os.getloadavg())
    found = {
        "command": "python benchmarks/cells_at_a_time.py "
        + " ".join(f"--{name} {value}" for name, value in {**plan, "rounds": given.rounds}.items()),
        "machine": machine.processor(),
        "processors": os.cpu_count(),
        "versions": machine.versions(),
        "load_average": load,
        **ratios(rounds),
        "same_weights": all(one.weights == rounds[0]["alone"].weights for by_way in rounds for one in by_way.values()),
        "rounds": [{way: {"seconds": one.seconds, "training": one.training, "images_per_second": one.speeds}
                    for way, one in by_way.items()} for by_way in rounds],
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    return 0 if found["same_weights"] else 1


def executed(way: str, plan: Mapping[str, str]) -> Round:
    """Run the cells in one way."""
    with tempfile.TemporaryDirectory(prefix="cells-") as folder:
        run = RunDirectory(Path(folder) / "run")
        flags = [word for name, value in plan.items() for word in (f"--{name}", value)]
        command = ["run", *flags, "--profile", "smoke", "--device", "cpu", "--threads", "1", *WAYS[way]]
        begin = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "genbench", *command, "--quiet", "--out", str(run.path)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.monotonic() - begin
        cells = run.read_cells().results.values()
        return Round(
            round(seconds, 2),
            round(sum((cell.durations.train or 0.0 for cell in cells if cell.durations), 0.0), 2),
            {cell.id: cell.throughput.images_per_second for cell in cells if cell.throughput},
            {cell.id: run.checkpoint_path(cell.id).read_bytes() for cell in cells},
        )


def ratios(rounds: Sequence[Mapping[str, Round]]) -> dict[str, Any]:
    """Return the gain of each way, and the speeds of its cells, relative to one cell at a time in the same round."""
    found: dict[str, Any] = {"gain": {}, "speed": {}}
    for way in [*WAYS][1:]:
        gains = [by_way["alone"].seconds / by_way[way].seconds for by_way in rounds]
        speeds = [
            by_way[way].speeds[id] / speed
            for by_way in rounds
            for id, speed in by_way["alone"].speeds.items()
            if id in by_way[way].speeds
        ]
        found["gain"][way] = spread(gains)
        found["speed"][way] = spread(speeds)
    found["most_of_turns"] = spread([one["alone"].seconds / one["alone"].training for one in rounds])
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


if __name__ == "__main__":
    sys.exit(main())
