"""Size and speed of report.html with few and with many cells, in a real browser.

Makes runs of synthetic cells with all curves and pictures, writes their page, opens it in Chromium and prints one JSON
line for each number of cells: bytes of the page, seconds to make it, milliseconds until the first paint, and
milliseconds to sort the table, each the median of several. Exits with status 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from browser import chromium
from example_runs import cell, changed, estimate, identity, plan, reference

from genbench.measure import machine
from genbench.report.html.page import report_page
from genbench.results.schema import CurvePoint, EvaluationPoint, TrainingFrame, TrainingSamples, Window
from genbench.results.store import LoadedRun, RunDirectory

LIMITS = {5: {"megabytes": 1.5}, 300: {"megabytes": 25.0, "first_paint_ms": 1000.0, "sort_ms": 100.0}}
_POINTS = 400
_TERMS = (
    "discriminator", "generator", "discriminator.real_logit", "discriminator.fake_logit", "discriminator.accuracy_real",
    "gradient_norm.generator", "gradient_norm.discriminator", "diversity",
)  # fmt: skip
_SORTED = ("images/s", "fd-cnn", "parameters", "peak memory")


def make_run(path: Path, cells: int) -> RunDirectory:
    """Write a run of cells that differ in their width, with everything that a page can show."""
    random = np.random.default_rng(0)
    results = []
    for number in range(cells):
        asked = identity("gan", seed=0, recipe={"learning_rate": 1e-4 * (number + 1)})
        curves = [
            CurvePoint(step=10 * n, images=320 * n, terms={term: float(random.normal(1, 0.1)) for term in _TERMS})
            for n in range(1, _POINTS + 1)
        ]
        windows = [
            Window(step=10 * n, steps=10, images=320, seconds=0.1 + random.random() / 50) for n in range(1, _POINTS + 1)
        ]
        points = [
            EvaluationPoint(step=400 * n, images=12_800 * n, estimates=[estimate("fd-cnn", 200 / n + number, 1.5)])
            for n in range(1, 11)
        ]
        results.append(
            cell(
                f"gan-{number}", asked, speed=1000 + float(random.random()) * 1000, curves=curves, windows=windows,
                evaluations=points, estimates=[estimate("fd-cnn", 20.0 + number, 1.5)], steps=4000, images=128_000,
            )
        )  # fmt: skip
    run = RunDirectory.create(path, plan(*results))
    for result in results:
        grid = random.integers(0, 256, (530, 530, 3), dtype=np.uint8)
        Image.fromarray(grid // 3 + 80).save(run.sample_path(result.id))
        Image.fromarray(grid // 3 + 80).save(run.interpolation_path(result.id))
        run.write_cell(changed(result, training_samples=_sheet(run, result.id, random)))
    run.write_reference(reference())
    return run


def _sheet(run: RunDirectory, id: str, random: np.random.Generator) -> TrainingSamples:
    """Store 12 frames of about as many bytes as a trained cell has."""
    low = random.integers(0, 256, (12 * 64, 64, 3), dtype=np.uint8)
    sheet = Image.fromarray(low).resize((256, 12 * 256), Image.Resampling.BILINEAR)
    path = run.training_samples_path(id)
    sheet.save(path, "WEBP", quality=90)
    content = path.read_bytes()
    frames = [TrainingFrame(step=350 * n, images=11_200 * n) for n in range(12)]
    return TrainingSamples(
        columns=8, rows=8, width=32, height=32, frames=frames, bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


def measure(driver: Any, page: Path) -> dict[str, float]:
    """Return medians over five openings of the page, and over sorting by several columns."""
    paints = []
    for _ in range(5):
        driver.get("about:blank")
        driver.get(page.as_uri())
        paints.append(
            driver.execute_async_script(
                "const done = arguments[0]; const look = () => {"
                "  const found = performance.getEntriesByName('first-contentful-paint');"
                "  if (found.length) done(found[0].startTime); else requestAnimationFrame(look); }; look();"
            )
        )
    sorts = [
        driver.execute_script(
            "const heading = document.querySelector(`#table button[data-key='${arguments[0]}']`);"
            "const start = performance.now(); heading.click(); document.body.getBoundingClientRect();"
            "return performance.now() - start",
            key,
        )
        for key in _SORTED * 4
    ]
    return {"first_paint_ms": statistics.median(paints), "sort_ms": statistics.median(sorts)}


def main() -> int:
    """Measure each number of cells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", default="5,300", help="numbers of cells, separated by commas")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder) / "profile") as driver:
        for cells in map(int, arguments.cells.split(",")):
            run = make_run(Path(folder) / f"run-{cells}", cells)
            page = Path(folder) / f"{cells}.html"
            start = time.perf_counter()
            page.write_text(report_page([LoadedRun(run, run.read())]))
            seconds = time.perf_counter() - start
            record: dict[str, Any] = {
                "cells": cells,
                "megabytes": page.stat().st_size / 1e6,
                "seconds_to_make": seconds,
            }
            record |= measure(driver, page)
            record["missed"] = [name for name, most in LIMITS.get(cells, {}).items() if record[name] > most]
            print(json.dumps({name: round(v, 3) if isinstance(v, float) else v for name, v in record.items()}))
            found.append(record)
    if arguments.out:
        arguments.out.write_text(json.dumps({"machine": machine.describe(), "pages": found}, indent=2) + "\n")
    return 1 if any(record["missed"] for record in found) else 0


if __name__ == "__main__":
    sys.exit(main())
