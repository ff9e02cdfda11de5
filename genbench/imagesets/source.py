"""The common form of all sources of images: batches that are never all in memory, and a report on the reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

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

    @property
    def read(self) -> int:
        """Number of images read."""
        return sum(self.shapes.values())

    @property
    def complete(self) -> bool:
        """Whether all images were read, without faults."""
        return not self.skipped and not self.faults

    def record_skipped(self, what: str) -> None:
        """Record an image or folder that could not be read."""
        self.skipped += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(what)

    def warnings(self) -> list[str]:
        """Return a line about skipped images, the faults and the notes."""
        lines = [*self.faults, *self.notes]
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
    identity: str = ""  # changes when the images change; empty: unknown without reading them
    split: str = ""  # of a dataset
