"""How long `genbench board` takes with many runs, and how large its pages are.

    python benchmarks/board.py --runs 1000
    python benchmarks/board.py --runs 100 --cells 100
    python benchmarks/board.py --runs 2 --cells 10000

It makes synthetic runs of five cells, or of `--cells`, in a temporary folder: full recipes, 40 windows and curve
points, two metrics and a picture for each cell; 24 models and losses, four machines, one commit for every ten runs. It
builds a board of all but one of them, then adds the last one, then builds again without a change. It exits with 1 if a
limit is missed: 60 s for 1,000 runs of five cells, 5 s for one more, 500 kB for a page, or a script with the data of
cells, without pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from genbench.api.evaluation import Estimate
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.report.board.site import build_board
from genbench.results.schema import (
    CellResult,
    Comparability,
    CurvePoint,
    Durations,
    Memory,
    PlannedCell,
    Proof,
    Provenance,
    RunRecord,
    Throughput,
    Window,
)
from genbench.results.store import RunDirectory

COLD_SECONDS, MORE_SECONDS, PAGE_BYTES = 60.0, 5.0, 500_000
CELLS = 5
MODELS = ("gan", "dcgan", "dcgan-dense", "sn-dcgan")
LOSSES = ("non-saturating", "hinge", "lsgan", "wgan", "wgan-gp", "r1")
MACHINES = (("AMD EPYC 7B13", 2.0), ("Intel Xeon 8481C", 4.0), ("AMD EPYC 9654", 16.0), ("Apple M2", 8.0))
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(30_000)


def main() -> int:
    """Make the runs, build the board three times, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=CELLS, help="of each run")
    parser.add_argument("--keep", type=Path, help="write runs and board here, and keep them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="board-") as temporary:
        found = measure(options.keep or Path(temporary), options.runs, options.cells)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:<32} {value}")
    missed = options.cells == CELLS and (
        found["cold_seconds"] > COLD_SECONDS or found["one_more_seconds"] > MORE_SECONDS
    )
    return int(missed or found["largest_page_bytes"] > PAGE_BYTES)


def measure(place: Path, count: int, cells: int) -> dict[str, float]:
    """Return the durations of the three builds and the size of the largest page."""
    runs, site = place / "runs", place / "site"
    order = random.Random(1)
    plans = [plans_of(models, losses, seeds) for models, losses, seeds in combinations()]
    if cells != CELLS:
        seeds = ",".join(map(str, range(cells // (len(MODELS) * len(LOSSES)) or 1)))
        plans = [plans_of(",".join(MODELS), ",".join(LOSSES), seeds)[:cells]]
    for number in range(count):
        make_run(runs / f"run {number:05d}", number, order.choice(plans), order)
    last = runs / f"run {count - 1:05d}"
    aside = place / "aside"
    last.rename(aside)
    cold, first = timed(runs, site)
    aside.rename(last)
    more, second = timed(runs, site)
    unchanged, third = timed(runs, site)
    found = [path for path in site.rglob("*.*") if path.suffix in (".html", ".js") and path.parent.name != "assets"]
    sizes = [path.stat().st_size for path in found]
    assert (first, second, third) == (count - 1, 1, 0), (first, second, third)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "runs": count, "cells": count * len(plans[0]), "processors": os.cpu_count() or 1,
        "cold_seconds": round(cold, 2), "one_more_seconds": round(more, 2), "unchanged_seconds": round(unchanged, 2),
        "pages": len(sizes), "largest_page_bytes": max(sizes), "peak_mebibytes": peak // 1024,
    }  # fmt: skip


def timed(runs: Path, site: Path) -> tuple[float, int]:
    """Return how long a build takes, and how many runs it read."""
    begin = time.perf_counter()
    built = build_board([runs], site)
    return time.perf_counter() - begin, built.read


def combinations() -> list[tuple[str, str, str]]:
    """Return models, losses and seeds of runs with five cells."""
    alone = [(model, loss, "0,1,2,3,4") for model in MODELS for loss in LOSSES]
    return [*alone, *(("dcgan", ",".join(LOSSES[:CELLS]), str(seed)) for seed in range(4))]


def plans_of(models: str, losses: str, seeds: str) -> list[PlannedCell]:
    """Return the planned cells of one request."""
    known = combine([load_plugin(plugin) for plugin in builtin_plugins()])
    return make_plan(make_request({"models": models, "losses": losses, "seeds": seeds}), known, "cpu").cells


def make_run(path: Path, number: int, cells: list[PlannedCell], order: random.Random) -> None:
    """Write one run."""
    machine, cores = order.choice(MACHINES)
    day, hour = divmod(number, 24)
    commit = {"genbench": {"commit": f"{number // 10:040x}", "dirty": False}}
    record = RunRecord(
        created=f"2026-{1 + day // 25:02d}-{1 + day % 25:02d}T{hour:02d}:00:00+00:00",
        genbench="0.1.0", command=["genbench", "run"], profile="quick", cells=cells, directory=str(number),
        environment={"machine": machine, "commits": commit},
    )  # fmt: skip
    run = RunDirectory.create(path, record)
    for planned in cells:
        write_quickly(run, result_of(planned, machine, cores, order))
        run.sample_path(planned.id).write_bytes(PICTURE)


def write_quickly(run: RunDirectory, result: CellResult) -> None:
    """Write a result without the checks and the flush to the disk of a real run."""
    run.cell_path(result.id).write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2))


def result_of(planned: PlannedCell, machine: str, cores: float, order: random.Random) -> CellResult:
    """Return a result with random numbers."""
    speed = order.gauss(1000, 20) * cores
    quality = order.gauss(40, 3)
    terms = ("discriminator", "generator", "discriminator.real_logit", "discriminator.fake_logit", "diversity")
    protocol: dict[str, str | int | float | bool] = {
        "weights_sha256": "a2bb48bb6b039ec2", "layer": "penultimate", "n_reference": 8000, "reference_split": "train",
    }  # fmt: skip
    return CellResult(
        id=planned.id, identity=planned.identity, status="ok", steps=1875, images=60_000,
        comparability=Comparability(
            machine=machine, cores=cores, threads=int(cores), torch="2.8", python="3.12", precision="fp32",
            engine="eager", data_hash="d" * 64,
        ),
        provenance=Provenance(started="2026-01-01T00:00:00+00:00", versions={"torch": "2.8"}),
        parameters={"generator": 3_000_000, "discriminator": 500_000},
        windows=[Window(step=46 * n, steps=46, images=1472, seconds=1472 / speed) for n in range(1, 41)],
        curves=[
            CurvePoint(step=46 * n, images=1472 * n, terms={term: order.gauss(1, 0.1) for term in terms})
            for n in range(1, 41)
        ],
        throughput=Throughput(
            images_per_second=speed, low=0.99 * speed, high=1.01 * speed, confidence=0.96, windows=40,
            steps_per_second=speed / 32,
        ),
        memory=Memory(peak_rss=512 * 2**20),
        proof=Proof(trained=True, phase_updates={"discriminator": 1875, "generator": 1875}),
        estimates=[
            Estimate("fd-fashion-cnn", quality, 0.4, n=2000, direction="lower", protocol=protocol),
            Estimate("diversity", order.gauss(0.9, 0.01), 0.004, n=2000, direction="higher", protocol=protocol),
        ],
        durations=Durations(train=60_000 / speed, total=70_000 / speed),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
