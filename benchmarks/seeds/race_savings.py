"""What a race has saved, and whether it decided what the full plan decides: two stored runs of the same cells.

    genbench run --config benchmarks/plans/race.toml --race fd --out results/reference/race
    genbench run --config benchmarks/plans/race.toml --out results/reference/race-full
    python benchmarks/seeds/race_savings.py results/reference/race results/reference/race-full \
        --out results/reference/race-savings.json

The full plan decides as `genbench compare` does: the candidate with the best mean, and those that are worse than it. A
cell that both runs have executed has the same seed and recipe, so its value should be the same too.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from genbench.gate.contrasts import contrasts
from genbench.gate.race import left_after
from genbench.gate.samples import samples_of_runs
from genbench.results.cell_names import method_name
from genbench.results.schema import CellResult, PlannedRace, RaceLook
from genbench.results.store import RunContents, RunDirectory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("race", type=Path)
    parser.add_argument("full", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    race, full = RunDirectory.open(arguments.race).read(), RunDirectory.open(arguments.full).read()
    assert race.race is not None
    (planned,), (looks,) = race.record.races, race.race.looks
    report: dict[str, Any] = {
        "metric": planned.metric,
        "error": planned.error,
        "race": raced(race, planned, looks),
        "full_plan": decided(full, planned),
        "same_values": compared(race, full, planned.metric),
    }
    cost, whole = report["race"], report["full_plan"]
    report["saved"] = {name: 1 - cost[name] / whole[name] for name in ("cells", "images", "seconds")}
    report["same_decisions"] = cost["best"] == whole["best"] and sorted(cost["worse"]) == sorted(whole["worse"])
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def raced(run: RunContents, planned: PlannedRace, looks: list[RaceLook]) -> dict[str, Any]:
    """Return what the race has cost and decided."""
    left = left_after(planned, looks)
    dropped = [drop for one in looks for drop in one.drops]
    return {
        **cost_of(run),
        "best": left[0] if len(left) == 1 else left,
        "worse": [drop.candidate for drop in dropped if drop.cause == "worse"],
        "dropped_after_seeds": {drop.candidate: one.seeds for one in looks for drop in one.drops},
        "failing": [drop.candidate for drop in dropped if drop.cause == "failing"],
    }


def decided(run: RunContents, planned: PlannedRace) -> dict[str, Any]:
    """Return what the full plan has cost and decides."""
    samples = samples_of_runs([run], [planned.metric])
    sign = -1 if planned.direction == "higher" else 1
    best = min(samples, key=lambda sample: sign * sample.mean)
    found = contrasts(samples)
    worse = [pair.one.method for pair in found if pair.other is best and pair.answer == "worse"]
    worse += [pair.other.method for pair in found if pair.one is best and pair.answer == "better"]
    return {
        **cost_of(run),
        "best": best.method,
        "worse": worse,
        "means": {sample.method: statistics.mean(sample.values.values()) for sample in samples},
    }


def cost_of(run: RunContents) -> dict[str, Any]:
    """Return the cells that were executed, their images and their seconds, which are those of a busy machine."""
    done = [result for result in run.cells.results.values() if result.status != "skipped"]
    return {
        "cells": len(done),
        "images": sum(result.images for result in done),
        "seconds": sum(result.durations.total for result in done),
        "seeds": {
            method_name(planned, run.record.swept): sum(
                method_name(other, run.record.swept) == method_name(planned, run.record.swept)
                and run.cells.results[other.id].status != "skipped"
                for other in run.record.cells
            )
            for planned in run.record.cells
        },
    }


def compared(race: RunContents, full: RunContents, metric: str) -> dict[str, int]:
    """Return how many cells both runs have executed, and how many of these have the same value."""
    one, other = value_of(race, metric), value_of(full, metric)
    both = one.keys() & other.keys()
    return {"cells_in_both": len(both), "equal": sum(one[id] == other[id] for id in both)}


def value_of(run: RunContents, metric: str) -> dict[str, float]:
    """Return the value of each executed cell."""

    def values(result: CellResult) -> list[float]:
        return [estimate.value for estimate in result.estimates if estimate.metric == metric]

    return {id: found[0] for id, result in run.cells.results.items() if (found := values(result))}


if __name__ == "__main__":
    main()
