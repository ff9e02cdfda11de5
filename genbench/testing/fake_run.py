"""A run that never trains, as reporters are told of one: a cell goes well, another goes on and fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from genbench import __version__
from genbench.api.evaluation import Estimate
from genbench.plan.identity import cell_id
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

BATCH, STEPS = 32, 10  # of a window
TERMS: Sequence[dict[str, float]] = ({"discriminator": 1.2, "generator": 0.9}, {"discriminator": 0.8}, {}, {})
SPEED = Throughput(images_per_second=400, low=390, high=410, confidence=0.95, windows=3, steps_per_second=12.5)
ESTIMATES = (
    Estimate(metric="diversity", value=0.9, standard_error=0.01, n=100, direction="higher"),
    Estimate(metric="psnr", value=20.0, standard_error=None, n=100, direction="higher"),
)


class FakeRun:
    """Its directory on disk, and what happens in it: a first part that is interrupted, and the rest."""

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        identities = [Subject("models", name, catalogue).identity() for name in ("gan", "vae")]
        self.well, self.badly = (PlannedCell(id=cell_id(identity), identity=identity) for identity in identities)
        record = RunRecord(
            created="2026-01-01T00:00:00+00:00",
            genbench=__version__,
            command=["genbench", "run"],
            profile="smoke",
            cells=[self.well, self.badly],
            environment={"machine": "a trial"},
        )
        self.directory = RunDirectory.create(path, record)
        self._own = {self.directory.record_path: self.directory.record_path.read_bytes()}

    def first_part(self) -> Sequence[TrackerEvent]:
        """Return the events until somebody interrupts the run; the files that they speak of are written."""
        self._finish(_went_well(self.well.id, self.well.identity))
        picture = self.directory.sample_path(self.well.id)
        Image.new("L", (56, 28), 128).save(picture)
        self._own[picture] = picture.read_bytes()
        return (
            TrackerEvent("run_started", fields={"pending": [self.well.id, self.badly.id]}),
            TrackerEvent("cell_started", self.well.id, {"index": 1, "total": 2, "steps": 4 * STEPS}),
            *(_window(self.well.id, number, terms) for number, terms in enumerate(TERMS, 1)),
            TrackerEvent(
                "evaluated",
                self.well.id,
                {"step": 4 * STEPS, "images": 4 * STEPS * BATCH, "estimates": list(ESTIMATES)},
            ),
            TrackerEvent("cell_finished", self.well.id),
            TrackerEvent("cell_started", self.badly.id, {"index": 2, "total": 2, "steps": 4 * STEPS}),
            _window(self.badly.id, 1, {"autoencoder": 250.0}),
            TrackerEvent("run_finished", fields={"interrupted": True}),
        )

    def rest(self) -> Sequence[TrackerEvent]:
        """Return the events of `--resume`: a cell goes on, its window is told again, and it fails."""
        reason = "the process ended with exit status 7"
        self._finish(CellResult(id=self.badly.id, identity=self.badly.identity, status="failed", reason=reason))
        return (
            TrackerEvent("run_started", fields={"pending": [self.badly.id]}),
            TrackerEvent("cell_started", self.badly.id, {"index": 1, "total": 1, "steps": 4 * STEPS}),
            _window(self.badly.id, 1, {"autoencoder": 250.0}),
            TrackerEvent("cell_finished", self.badly.id),
            TrackerEvent("run_finished", fields={"interrupted": False}),
        )

    def changed(self) -> list[str]:
        """Return genbench's own files that are not as they were written."""
        return [path.name for path, content in self._own.items() if not path.is_file() or path.read_bytes() != content]

    def others(self) -> dict[Path, int]:
        """Return the files that the reporter has written into the run's directory, with their sizes."""
        logs = self.directory.path / "logs"
        files = [path for path in self.directory.path.rglob("*") if path.is_file() and logs not in path.parents]
        return {path: path.stat().st_size for path in files if path not in self._own}

    def _finish(self, result: CellResult) -> None:
        self.directory.write_cell(result)
        path = self.directory.cell_path(result.id)
        self._own[path] = path.read_bytes()


def _window(cell: str, number: int, terms: dict[str, float]) -> TrackerEvent:
    step = number * STEPS
    fields = {"step": step, "images": step * BATCH, "images_per_second": 400.0, "terms": terms, "warmup": number == 1}
    return TrackerEvent("window_finished", cell, fields)


def _went_well(name: str, identity: CellIdentity) -> CellResult:
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
