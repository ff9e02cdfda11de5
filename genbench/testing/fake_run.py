"""A simulated run for reporters, without training: one cell succeeds, the other is resumed and then fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from genbench import __version__
from genbench.api.evaluation import Estimate
from genbench.planning.identity import cell_id
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import (
    CellIdentity,
    CellResult,
    CurvePoint,
    Durations,
    Memory,
    PlannedCell,
    RunRecord,
    Throughput,
    Window,
)
from genbench.results.store import RunDirectory
from genbench.testing.subject import Subject
from genbench.trackers.messages import TrackerEvent

BATCH, STEPS = 32, 10  # images per step, steps per window
TERMS: Sequence[dict[str, float]] = ({"discriminator": 1.2, "generator": 0.9}, {"discriminator": 0.8}, {}, {})
SPEED = Throughput(images_per_second=400, low=390, high=410, confidence=0.95, windows=3, steps_per_second=12.5)
ESTIMATES = (
    Estimate(metric="diversity", value=0.9, standard_error=0.01, n=100, direction="higher"),
    Estimate(metric="psnr", value=20.0, standard_error=None, n=100, direction="higher"),
)


class FakeRun:
    """A run directory on disk, and the events of a run that is interrupted and then resumed."""

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        identities = [Subject("models", name, catalogue).identity() for name in ("gan", "vae")]
        self.succeeding, self.failing = (
            PlannedCell(id=cell_id(identity), identity=identity) for identity in identities
        )
        record = RunRecord(
            created="2026-01-01T00:00:00+00:00",
            genbench=__version__,
            command=["genbench", "run"],
            profile="smoke",
            cells=[self.succeeding, self.failing],
            environment={"machine": "simulated"},
        )
        self.directory = RunDirectory.create(path, record)
        self._written = {self.directory.record_path: self.directory.record_path.read_bytes()}

    def events_until_interruption(self) -> Sequence[TrackerEvent]:
        """Write the files of the first part of the run; return its events, up to an interruption."""
        self._finish(_successful_result(self.succeeding.id, self.succeeding.identity))
        grid = self.directory.sample_path(self.succeeding.id)
        Image.new("L", (56, 28), 128).save(grid)
        self._written[grid] = grid.read_bytes()
        return (
            TrackerEvent("run_started", fields={"pending": [self.succeeding.id, self.failing.id]}),
            TrackerEvent("cell_started", self.succeeding.id, {"index": 1, "total": 2, "steps": 4 * STEPS}),
            *(_window(self.succeeding.id, number, terms) for number, terms in enumerate(TERMS, 1)),
            TrackerEvent(
                "evaluated",
                self.succeeding.id,
                {"step": 4 * STEPS, "images": 4 * STEPS * BATCH, "estimates": list(ESTIMATES)},
            ),
            TrackerEvent("cell_finished", self.succeeding.id),
            TrackerEvent("cell_started", self.failing.id, {"index": 2, "total": 2, "steps": 4 * STEPS}),
            _window(self.failing.id, 1, {"autoencoder": 250.0}),
            TrackerEvent("run_finished", fields={"interrupted": True}),
        )

    def events_after_resuming(self) -> Sequence[TrackerEvent]:
        """Return the events of `--resume`: a cell continues, its window is reported again, and it fails."""
        reason = "the process exited with status 7"
        self._finish(CellResult(id=self.failing.id, identity=self.failing.identity, status="failed", reason=reason))
        return (
            TrackerEvent("run_started", fields={"pending": [self.failing.id]}),
            TrackerEvent("cell_started", self.failing.id, {"index": 1, "total": 1, "steps": 4 * STEPS}),
            _window(self.failing.id, 1, {"autoencoder": 250.0}),
            TrackerEvent("cell_finished", self.failing.id),
            TrackerEvent("run_finished", fields={"interrupted": False}),
        )

    def changed_files(self) -> list[str]:
        """Return the names of genbench's own files that were changed since they were written."""
        return [
            path.name for path, content in self._written.items() if not path.is_file() or path.read_bytes() != content
        ]

    def reporter_files(self) -> dict[Path, int]:
        """Return the files that the reporter wrote to the run directory, with their sizes."""
        logs = self.directory.path / "logs"
        files = [path for path in self.directory.path.rglob("*") if path.is_file() and logs not in path.parents]
        return {path: path.stat().st_size for path in files if path not in self._written}

    def _finish(self, result: CellResult) -> None:
        self.directory.write_cell(result)
        path = self.directory.cell_path(result.id)
        self._written[path] = path.read_bytes()


def _window(cell: str, number: int, terms: dict[str, float]) -> TrackerEvent:
    step = number * STEPS
    fields = {"step": step, "images": step * BATCH, "images_per_second": 400.0, "terms": terms, "warmup": number == 1}
    return TrackerEvent("window_finished", cell, fields)


def _successful_result(name: str, identity: CellIdentity) -> CellResult:
    steps = range(STEPS, 5 * STEPS, STEPS)
    return CellResult(
        id=name,
        identity=identity,
        status="ok",
        parameters={"generator": 1000, "discriminator": 2000},
        total_parameters={"generator": 1000, "discriminator": 2000},
        steps=4 * STEPS,
        images=4 * STEPS * BATCH,
        windows=[
            Window(step=step, steps=STEPS, images=step * BATCH, seconds=0.8, warmup=step == STEPS) for step in steps
        ],
        curves=[CurvePoint(step=step, images=step * BATCH, terms={"discriminator": 1.2}) for step in steps],
        throughput=SPEED,
        memory=Memory(peak_rss=1 << 29),
        estimates=list(ESTIMATES),
        durations=Durations(train=3.2, total=5.0),
    )
