"""The common form of all sources of images: batches that are never all in memory, and a report on the reading."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from genbench.builtin.datasets.folder import describe_left_out
from genbench.data.progress import Progress

MAX_NAMED = 10  # unreadable images listed by name; the others are counted


@dataclass
class ReadReport:
    """What happened while images were read; updated with every batch."""

    shapes: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # (channels, height, width) -> images
    skipped: int = 0
    named: list[str] = field(default_factory=list)  # the first skipped ones, with the reason
    faults: list[str] = field(default_factory=list)  # of the whole source, such as a change while it was read
    notes: list[str] = field(default_factory=list)  # other information for the user
    left_out: Sequence[str] = ()  # images that were not read because of their suffix

    @property
    def read(self) -> int:
        """Number of images read."""
        return sum(self.shapes.values())

    @property
    def complete(self) -> bool:
        """Whether all images were read, without faults."""
        return self.repeatable and not self.left_out

    @property
    def repeatable(self) -> bool:
        """Whether the same images are read again as long as the source has the same identity."""
        return not self.skipped and not self.faults

    def record_skipped(self, what: str) -> None:
        """Record an image or folder that could not be read."""
        self.skipped += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(what)

    def warnings(self) -> list[str]:
        """Return a line each about skipped images and images that were left out, the faults and the notes."""
        lines = [*self.faults, *self.notes]
        if self.left_out:
            lines.insert(0, describe_left_out(self.left_out))
        if self.skipped:
            rest = self.skipped - len(self.named)
            more = f" and {rest} more" if rest else ""
            lines.insert(0, f"skipped {self.skipped} unreadable: {', '.join(self.named)}{more}")
        return lines


@dataclass(frozen=True)
class ImageSource:
    """A source of images."""

    title: str  # shown to the user
    expected: int  # number of images, before any are skipped
    # (batch size, report, progress) -> uint8 batches (n, channels, height, width) of at most that size. Raises
    # `DataError` where the source as a whole cannot be used.
    batches: Callable[[int, ReadReport, Progress], Iterator[Tensor]]
    # Returns a text that changes when the images change; None: unknown without drawing them. It may read a whole file.
    identify: Callable[[], str] | None = None
    split: str = ""  # of a dataset
    left_out: tuple[str, ...] = ()  # images that are not read because of their suffix


def as_json(report: ReadReport) -> str:
    """Return what a later reading of the same images would report; there are no skipped images or faults."""
    return json.dumps({"shapes": [[*shape, count] for shape, count in report.shapes.items()], "notes": report.notes})


def from_json(text: object, left_out: Sequence[str]) -> ReadReport | None:
    """Return the report of `as_json`, with the files left out now; None where the text is not one."""
    try:
        read: Any = json.loads(text) if isinstance(text, str) else {}
        shapes = Counter({(int(c), int(h), int(w)): int(count) for c, h, w, count in read["shapes"]})
        return ReadReport(shapes, notes=[str(note) for note in read["notes"]], left_out=left_out)
    except (KeyError, TypeError, ValueError):
        return None
