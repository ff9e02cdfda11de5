"""One plan with several executors: the same cells, the same weights, and a table that differs in what is timed alone.

    python benchmarks/executors.py --out results/reference/executors.json

runs `benchmarks/plans/executors.toml`, unchanged, with each executor. `ray` starts a cluster of two nodes on this
machine with Ray's own utility for tests. `slurm` uses the cluster that sbatch finds, by SLURM_CONF. It needs the
packages `genbench-ray` and `genbench-slurm`, and exits with 1 if the ids of the cells, their weights or anything in the
tables other than speed, time and memory differ. Notes may differ too, because they name other load on the machine;
those that do are listed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genbench.measure import machine
from genbench.report.table.comparability import SPEED_COLUMNS
from genbench.report.table.comparison_table import make_table
from genbench.results.store import RunContents, RunDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

PLAN = Path(__file__).parent / "plans" / "executors.toml"
EXECUTORS = ("local", "ray", "slurm")


def main() -> int:
    """Run the plan with each executor, and compare what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executors", default=",".join(EXECUTORS))
    parser.add_argument("--config", type=Path, default=PLAN)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    before, runs, seconds = os.getloadavg(), {}, {}
    with tempfile.TemporaryDirectory(prefix="executors-", dir="/tmp") as folder:
        for name in arguments.executors.split(","):
            with cluster(name, Path(folder)) as more:
                begin = time.monotonic()
                command = ["run", "--config", str(arguments.config), "--executor", name, *more]
                out = Path(folder) / "runs" / name
                subprocess.run([sys.executable, "-m", "genbench", *command, "--out", str(out)], check=True)
                seconds[name] = round(time.monotonic() - begin, 1)
            runs[name] = RunDirectory(out)
        found = {
            "command": f"python benchmarks/executors.py --executors {arguments.executors}",
            "plan": arguments.config.name,
            "machine": machine.processor(),
            "versions": machine.versions(),
            "load_average": {"before": before, "after": os.getloadavg()},
            "seconds": seconds,
            **compared(runs),
        }
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    same = found["same_ids"] and found["same_weights"] and {*found["other_columns_that_differ"]} <= {"notes"}
    return 0 if same and set(found["statuses"]) == {"ok"} else 1


@contextlib.contextmanager
def cluster(executor: str, folder: Path) -> Iterator[list[str]]:
    """Have the engine of an executor; yields further arguments for `genbench run`."""
    if executor != "ray":
        if executor == "slurm" and shutil.which("sbatch") is None:
            raise SystemExit("sbatch is not installed here")
        yield []
        return
    os.environ["RAY_TMPDIR"] = str(folder)
    from ray_cluster import RayCluster

    started = RayCluster()
    try:
        for _ in range(2):
            started.add_node()
        yield ["--set", f"ray.address={started.address}"]
    finally:
        started.close()


def compared(runs: Mapping[str, RunDirectory]) -> dict[str, Any]:
    """Return in what the runs agree, and the cells with the hash of their weights."""
    contents = {name: run.read() for name, run in runs.items()}
    ids = {name: [cell.id for cell in found.record.cells] for name, found in contents.items()}
    hashes = {name: {id: weights_hash(run, id) for id in ids[name]} for name, run in runs.items()}
    values = {name: table_values(found) for name, found in contents.items()}
    first, *others = runs
    differing = {
        key for other in others for row, mine in enumerate(values[first]) for key in mine | values[other][row]
        if mine.get(key) != values[other][row].get(key)
    }  # fmt: skip
    cells = [result for found in contents.values() for result in found.cells.results.values()]
    notes: dict[str, set[str]] = {name: {note for cell in found.cells.results.values() for note in cell.notes}
             for name, found in contents.items()}  # fmt: skip
    return {
        "cells": [{"id": id, "weights_sha256": hashes[first][id]} for id in ids[first]],
        "statuses": sorted({cell.status for cell in cells}),
        "same_ids": all(found == ids[first] for found in ids.values()),
        "same_weights": all(found == hashes[first] for found in hashes.values()),
        "columns_that_differ": sorted(differing & {*SPEED_COLUMNS}),
        "other_columns_that_differ": sorted(differing - {*SPEED_COLUMNS}),
        "notes_that_differ": sorted(
            set().union(*notes.values()) - next(iter(notes.values())).intersection(*notes.values())
        ),
        "columns_that_agree": sorted({key for row in values[first] for key in row} - differing),
    }


def weights_hash(run: RunDirectory, cell: str) -> str:
    """Return the SHA-256 of the file with the weights of a cell."""
    return hashlib.sha256(run.checkpoint_path(cell).read_bytes()).hexdigest()


def table_values(run: RunContents) -> list[dict[str, object]]:
    """Return the values of each row of the table, with their errors."""
    return [
        {key: (value.text, value.raw, dict(value.parts)) for key, value in row.values.items() if key != "run"}
        for row in make_table(run).rows
    ]


if __name__ == "__main__":
    sys.exit(main())
