"""The time that `genbench table` needs for many cells.

    python benchmarks/table_scale.py --cells 10000 --out results/reference/table-scale.json

The cells are copies of a committed one with other recipes, seeds and values, in one run directory: 5 seeds each, so
that the table over seeds has a fifth of the rows. Reading, making the table and each format are timed on their own, in
seconds of processor time.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

import genbench
from genbench.api.evaluation import Estimate
from genbench.measure import machine
from genbench.report.table.render import FORMATS, PAGE_WIDTH
from genbench.results.schema import CellResult, PlannedCell
from genbench.results.store import RunDirectory

SOURCE = Path(__file__).parents[1] / "results" / "reference" / "quick"
SEEDS = 5


def main() -> None:
    """Time the parts and print them; with --out, also write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(write_run(Path(folder) / "run", arguments.cells))
    found = {
        "command": f"python benchmarks/table_scale.py --cells {arguments.cells}",
        "machine": machine.processor(),
        "versions": machine.versions(),
        "seconds": seconds,
    }
    print(json.dumps(found, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n")


def write_run(path: Path, number: int) -> Path:
    """Write a run with this number of finished cells and return its path."""
    source = RunDirectory.open(str(SOURCE)).read()
    draw = random.Random(0)
    templates = list(source.cells.results.values())
    cells = [_copy(templates[n // SEEDS % len(templates)], n, draw) for n in range(number)]
    planned = [PlannedCell(id=cell.id, identity=cell.identity) for cell in cells]
    run = RunDirectory.create(path, replace(source.record, cells=planned))
    for cell in cells:
        run.cell_path(cell.id).write_bytes(msgspec.json.encode(cell))
    for reference in source.references.results.values():
        run.write_reference(reference)
    return run.path


def measure(run: Path) -> dict[str, float]:
    """Return the seconds that each part takes."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[name] = round(time.process_time() - start, 3)

    with timed("read"):
        results = genbench.load(run)
    for name, over_seeds in (("per seed", False), ("over seeds", True)):
        with timed(f"table {name}"):
            table = results.table(over_seeds=over_seeds)
        for format in FORMATS:
            with timed(f"{format} {name}"):
                table.text(format, PAGE_WIDTH)
    return seconds


def _copy(source: CellResult, number: int, draw: random.Random) -> CellResult:
    group, seed = divmod(number, SEEDS)
    recipe = {**source.identity.recipe, "batch_size": 2 ** (group % 8), "learning_rate": 1e-5 * (1 + group // 8)}
    speed = source.throughput
    factor = draw.uniform(0.5, 2.0)
    return replace(
        source,
        id=f"{source.identity.model.name}-{number}",
        identity=replace(source.identity, recipe=recipe, seed=seed),
        estimates=[_scaled(estimate, draw.uniform(0.8, 1.2)) for estimate in source.estimates],
        throughput=speed
        and replace(
            speed,
            images_per_second=factor * speed.images_per_second,
            low=factor * speed.low,
            high=factor * speed.high,
        ),
    )


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(
        estimate.metric,
        factor * estimate.value,
        estimate.standard_error,
        estimate.n,
        estimate.direction,
        estimate.protocol,
        null=estimate.null,
    )


if __name__ == "__main__":
    main()
