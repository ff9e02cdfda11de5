"""Write a synthetic run of many cells, by the planner and the code that stores results.

    python benchmarks/large_run.py RUN --cells 10000 --unfinished 10

The plan crosses four models with batch sizes, learning rates and five seeds. Each finished cell has the windows,
curves, evaluations, metrics and pictures of a committed cell of its family, with other numbers: one cell in a hundred
has failed. The pictures of a model are links to one file. The last cells of the plan have no result.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from genbench import __version__
from genbench.api.evaluation import Estimate
from genbench.measure import machine
from genbench.planning.planner import Plan, make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.results.schema import CellResult, PlannedCell, RunRecord, TrainingFrame, TrainingSamples
from genbench.results.store import RunDirectory

SOURCE = Path(__file__).parents[1] / "results" / "reference" / "quick"
MODELS = {"gan": "gan", "dcgan": "dcgan", "sn-dcgan": "dcgan", "vae": "vae"}  # and whose committed cell they resemble
BATCH_SIZES = (16, 32, 64, 128, 256)
SEEDS = range(5)
STEP = len(MODELS) * len(BATCH_SIZES) * len(SEEDS)  # cells for each learning rate


@dataclass(frozen=True)
class Template:
    """What the cells of a model have in common."""

    result: CellResult
    pictures: dict[str, Path]  # by the end of the file's name


def request_for(cells: int) -> dict[str, object]:
    """Return the arguments of `genbench.run` for at least this many cells, a multiple of `STEP`."""
    rates = [float(f"{1e-5 * 1.05**number:.6g}") for number in range(-(-cells // STEP))]
    return {
        "models": [*MODELS], "learning_rate": rates, "batch_size": list(BATCH_SIZES), "seeds": list(SEEDS),
        "device": "cpu",
    }  # fmt: skip


def plan_for(cells: int) -> Plan:
    """Return the plan of `request_for`, with exactly this many cells."""
    known = combine([load_plugin(plugin) for plugin in builtin_plugins()])
    plan = make_plan(make_request(request_for(cells)), known, "cpu")
    return replace(plan, cells=plan.cells[:cells])


def write_run(path: Path, cells: int, unfinished: int = 0) -> RunDirectory:
    """Write a run with this many cells, the last ones without a result."""
    plan = plan_for(cells)
    record = RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"), genbench=__version__, command=["genbench", "run"],
        profile=plan.profile.name, cells=plan.cells, references=plan.references, swept=plan.swept,
        environment=machine.describe() | {"device": "cpu"},
    )  # fmt: skip
    run = RunDirectory.create(path, record)
    source = RunDirectory.open(SOURCE)
    templates = {model: _template(run, source, other) for model, other in MODELS.items()}
    (reference,) = source.read_references().results.values()
    for planned_reference in plan.references:
        run.write_reference(msgspec.structs.replace(reference, id=planned_reference.id))
    draw = random.Random(0)
    for planned in plan.cells[: cells - unfinished]:
        _write_cell(run, planned, templates[planned.identity.model.name], draw)
    return run


def _template(run: RunDirectory, source: RunDirectory, model: str) -> Template:
    planned = source.find_cell(model)
    result = source.read_cells().results[planned.id]
    pictures = {".png": source.sample_path(planned.id), "-reconstructions.png": source.reconstruction_path(planned.id)}
    samples, training = _training_samples(run.path / "samples" / f".{model}.training.webp", result)
    found = {suffix: path for suffix, path in pictures.items() if path.is_file()}
    return Template(msgspec.structs.replace(result, training_samples=samples), found | {".training.webp": training})


def _training_samples(path: Path, result: CellResult) -> tuple[TrainingSamples, Path]:
    """Write six frames of smooth noise, about as many bytes as a trained cell has."""
    noise = np.random.default_rng(0).integers(0, 256, (6 * 56, 56), dtype=np.uint8)
    Image.fromarray(noise).resize((224, 6 * 224), Image.Resampling.BILINEAR).save(path, "WEBP", quality=80)
    content = path.read_bytes()
    frames = [TrainingFrame(step=result.steps * n // 6, images=result.images * n // 6) for n in range(1, 7)]
    record = TrainingSamples(
        columns=8, rows=8, width=28, height=28, frames=frames, bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
    return record, path


def _write_cell(run: RunDirectory, planned: PlannedCell, template: Template, draw: random.Random) -> None:
    if draw.random() < 0.01:
        run.write_cell(
            CellResult(id=planned.id, identity=planned.identity, status="failed", reason="RuntimeError: out of range")
        )
        return
    run.write_cell(_result(planned, template.result, draw))
    for suffix, path in template.pictures.items():
        (run.path / "samples" / (planned.id + suffix)).hardlink_to(path)
    run.log_path(planned.id).write_text("loading\ntraining\nevaluating\n")


def _result(planned: PlannedCell, source: CellResult, draw: random.Random) -> CellResult:
    """Return a result whose numbers differ from those of its template by random factors."""
    speed = math.exp(draw.gauss(0, 0.3))
    quality = math.exp(draw.gauss(0, 0.2))
    change = msgspec.structs.replace
    assert source.throughput is not None
    return change(
        source,
        id=planned.id,
        identity=planned.identity,
        windows=[change(one, seconds=one.seconds / speed * draw.uniform(0.97, 1.03)) for one in source.windows],
        curves=[
            change(
                one, terms={term: None if v is None else v * draw.uniform(0.9, 1.1) for term, v in one.terms.items()}
            )
            for one in source.curves
        ],
        throughput=change(
            source.throughput,
            images_per_second=source.throughput.images_per_second * speed,
            low=source.throughput.low * speed,
            high=source.throughput.high * speed,
        ),
        estimates=[_scaled(one, quality) for one in source.estimates],
        evaluations=[
            change(point, estimates=[_scaled(one, quality) for one in point.estimates]) for point in source.evaluations
        ],
        memory=source.memory and change(source.memory, peak_rss=int(source.memory.peak_rss * draw.uniform(0.9, 1.1))),
    )


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return replace(estimate, value=estimate.value * factor)


def main() -> None:
    """Write the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--unfinished", type=int, default=0, help="cells without a result")
    options = parser.parse_args()
    print(write_run(options.run, options.cells, options.unfinished).path)


if __name__ == "__main__":
    main()
