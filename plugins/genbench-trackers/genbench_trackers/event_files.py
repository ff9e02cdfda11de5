"""TensorBoard: one folder of event files per cell, written with `tensorboard` alone and without a thread."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

from genbench import CellFinished, CellStarted, Evaluated, RunFacts, RunFinished, WindowFinished
from genbench_trackers import TensorBoardOptions
from genbench_trackers.scalars import evaluation_scalars, import_library, plain_values, result_scalars, window_scalars


class EventFile:
    """One event file; when a method returns, its data is on disk."""

    def __init__(self, folder: Path) -> None:
        records = import_library("tensorboard.summary.writer.record_writer", "tensorboard")
        self._event: Any = import_library("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._summary: Any = import_library("tensorboard.compat.proto.summary_pb2", "tensorboard")
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = records.RecordWriter(_new_file(folder))
        self._write(self._event.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def restart(self, step: int) -> None:
        """Make readers discard what earlier files contain for this step and later ones."""
        log = self._event.SessionLog(status=self._event.SessionLog.START)
        self._write(self._event.Event(wall_time=time.time(), step=step, session_log=log))

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write numbers by tag."""
        Value = self._summary.Summary.Value
        self.summary(self._summary.Summary(value=[Value(tag=t, simple_value=v) for t, v in values.items()]), step)

    def image(self, tag: str, path: Path, step: int) -> None:
        """Write a PNG file unchanged; bytes 16 to 24 hold its size."""
        data = path.read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        image = self._summary.Summary.Image(encoded_image_string=data, width=width, height=height, colorspace=3)
        self.summary(self._summary.Summary(value=[self._summary.Summary.Value(tag=tag, image=image)]), step)

    def summary(self, summary: Any, step: int) -> None:
        """Write a summary."""
        self._write(self._event.Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()


class EventFiles:
    """The reporter."""

    def __init__(self, folder: Path, hparams: Any) -> None:
        self._folder, self._hparams = folder, hparams
        self._file: EventFile | None = None
        self._continues = False  # earlier files may contain points after the cell's checkpoint
        self._images = 0

    def cell_started(self, event: CellStarted) -> None:
        """Start a file with the hyperparameters."""
        folder = self._folder / event.cell.id
        self._continues = folder.is_dir()
        self._file, self._images = EventFile(folder), 0
        self._file.summary(self._hparams.hparams_pb(plain_values(event.cell.settings), trial_id=event.cell.id), 0)

    def window_finished(self, event: WindowFinished) -> None:
        """Write the curves."""
        if self._file is not None:
            if self._continues:
                self._file.restart(event.images)
            self._continues, self._images = False, event.images
            self._file.scalars(window_scalars(event), event.images)

    def evaluated(self, event: Evaluated) -> None:
        """Write the metrics."""
        if self._file is not None:
            self._file.scalars(evaluation_scalars(event), event.images)

    def cell_finished(self, event: CellFinished) -> None:
        """Write the sample grids and close the file."""
        if self._file is not None:
            self._file.scalars(result_scalars(event), self._images)
            for name, path in event.pictures.items():
                self._file.image(name, path, self._images)
            self._file.close()
        self._file = None

    def run_finished(self, event: RunFinished) -> None:
        """Close the file of an interrupted cell."""
        if self._file is not None:
            self._file.close()


def create(run: RunFacts, options: TensorBoardOptions) -> EventFiles:
    """Return the reporter; raise `ReporterUnavailable` if the library is missing."""
    hparams = import_library("tensorboard.plugins.hparams.summary_v2", "tensorboard")
    folder = Path(options.dir).expanduser() / run.name if options.dir else run.path / "tensorboard"
    return EventFiles(folder, hparams)


def _new_file(folder: Path) -> Any:
    number = len(list(folder.glob("events.out.tfevents.*")))
    return (folder / f"events.out.tfevents.{int(time.time()):010d}.genbench.{number}").open("xb")
