"""Runs for tests of figures, and what is in a figure's file."""

from __future__ import annotations

import html
import re
from pathlib import Path

from example_runs import cell, estimate, identity, plan, reference
from PIL import Image

from genbench.commands.load import load
from genbench.commands.results import Results
from genbench.results.schema import CellResult, EvaluationPoint
from genbench.results.store import RunDirectory


def evaluated(id: str, **changes: object) -> CellResult:
    """Return a cell with metrics during training."""
    points = [EvaluationPoint(step=n, images=32 * n, estimates=[estimate("fd-cnn", 50.0 - n)]) for n in (5, 10, 15)]
    return cell(id, evaluations=points, **changes)


def example_run(path: Path) -> Path:
    """Write a run of two models, two batch sizes and two seeds, with references and pictures."""
    cells = [
        evaluated(
            f"{model}-{batch}-{seed}",
            asked=identity(model, seed=seed, recipe={"batch_size": batch}),
            speed=speed * batch + seed,
            estimates=[estimate("fd-cnn", 30.0 + speed / 10 + seed, 0.5)],
        )
        for model, speed in (("gan", 20), ("vae", 50))
        for batch in (16, 64)
        for seed in (0, 1)
    ]
    run = RunDirectory.create(path, plan(*cells, swept=["batch_size"]))
    for one in cells:
        run.write_cell(one)
        run.sample_path(one.id).parent.mkdir(exist_ok=True)
        Image.new("RGB", (58, 58), (30, 60, 90)).save(run.sample_path(one.id))
    run.write_reference(reference())
    return path


def two_datasets(path: Path) -> Path:
    """Write a run of three models on two datasets."""
    cells = [
        cell(f"{model}-{dataset}", identity(model, dataset=dataset), estimates=[estimate("fd-cnn", value)])
        for dataset in ("mini", "other")
        for model, value in (("gan", 3.0), ("vae", 2.0), ("dcgan", 1.0))
    ]
    run = RunDirectory.create(path, plan(*cells))
    for one in cells:
        run.write_cell(one)
    return path


def written(path: Path, *cells: CellResult) -> Results:
    """Write a run of these cells, without references, and load it."""
    run = RunDirectory.create(path, plan(*cells))
    for one in cells:
        run.write_cell(one)
    return load(path)


def texts(svg: str) -> list[str]:
    """Return every text that an SVG of matplotlib draws: letters are outlines, and a comment says what they write."""
    return [html.unescape(text).strip() for text in re.findall(r"<!--(.*?)-->", svg, flags=re.DOTALL)]
