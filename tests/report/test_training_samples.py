"""Reading samples during training: what is not exactly the recorded picture is a reason, never an error."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from example_runs import cell, stored
from PIL import Image

from genbench.report.training_samples import NoSheet, StoredSheet, read_training_samples
from genbench.results.schema import CellResult, TrainingFrame, TrainingSamples
from genbench.results.store import RunDirectory


def picture(format: str = "WEBP", size: tuple[int, int] = (8, 24), **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 100, 0)).save(stream, format=format, **options)
    return stream.getvalue()


def run_with(folder: Path, content: bytes | None, **changes: Any) -> tuple[RunDirectory, CellResult]:
    """Return a run with a cell whose record states this content, with changes."""
    fields: dict[str, Any] = {
        "columns": 2,
        "rows": 3,
        "width": 4,
        "height": 4,
        "frames": [TrainingFrame(step=0, images=0), TrainingFrame(step=9, images=72)],
        "bytes": len(content or b""),
        "sha256": hashlib.sha256(content or b"").hexdigest(),
    }
    result = cell(training_samples=TrainingSamples(**fields | changes))
    run = stored(folder / "run", result)
    if content is not None:
        run.training_samples_path(result.id).write_bytes(content)
    return run, run.read_cells().results[result.id]


def test_the_sheet_comes_with_its_record(tmp_path: Path) -> None:
    run, result = run_with(tmp_path, picture())
    assert read_training_samples(run, result) == StoredSheet(picture(), result.training_samples)  # type: ignore[arg-type]


def test_a_cell_without_a_record_has_none(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell())
    old = msgspec.json.decode(run.cell_path("gan-1").read_bytes())
    del old["training_samples"]  # a file of an earlier version
    run.cell_path("gan-1").write_bytes(msgspec.json.encode(old))
    for result in (None, run.read_cells().results["gan-1"]):
        assert read_training_samples(run, result) == NoSheet("no samples were kept during training")


def animation() -> bytes:
    first, second = (Image.new("RGB", (8, 24), colour) for colour in ("red", "blue"))
    stream = io.BytesIO()
    first.save(stream, format="WEBP", save_all=True, append_images=[second])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "changes", "reason"),
    [
        (None, {}, "is missing"),
        (picture(), {"bytes": 10}, "bytes, not the 10 that were written"),
        (picture(), {"bytes": 10**15}, "bytes, not the 1,000,000,000,000,000 that were written"),
        (picture(), {"sha256": "0" * 64}, "is not the file that was written"),
        (picture("PNG"), {}, "it is not a WebP file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 24\n", {}, "it is not a WebP file"),
        (picture()[:30], {}, "cannot be shown"),
        (b"", {}, "it is not a WebP file"),
        (picture(size=(8, 25)), {}, "it has 8 × 25 pixels, not 8 × 24"),
        (picture(), {"frames": []}, "states 8 × 0 pixels"),
        (picture(), {"width": 10**9, "height": 10**9}, "pixels"),
        (animation(), {}, "it is an animation"),
    ],
)
def test_anything_else_is_a_reason(tmp_path: Path, content: bytes | None, changes: dict[str, Any], reason: str) -> None:
    found = read_training_samples(*run_with(tmp_path, content, **changes))
    assert isinstance(found, NoSheet)
    assert reason in found.reason
    assert str(tmp_path) not in found.reason


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b[:20] + b"?" + b[21:]])
def test_a_damaged_file_is_found(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    run, result = run_with(tmp_path, picture())
    run.training_samples_path(result.id).write_bytes(damage(picture()))
    assert isinstance(read_training_samples(run, result), NoSheet)


def test_a_pipe_in_its_place_does_not_block(tmp_path: Path) -> None:
    run, result = run_with(tmp_path, None)
    os.mkfifo(run.training_samples_path(result.id))
    assert isinstance(read_training_samples(run, result), NoSheet)
