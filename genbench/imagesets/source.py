"""What every source of images is: batches that are never all in memory, and an account of the reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

NAMED = 10  # images that could not be read and are named; the others are counted
Progress = Callable[[int, int], None]  # (images read, images there are)


def unwatched(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class Account:
    """What was noticed while images were read; filled as the batches go by."""

    shapes: Counter[tuple[int, int, int]] = field(default_factory=Counter)  # (channels, height, width) -> images
    skipped: int = 0
    named: list[str] = field(default_factory=list)  # the first skipped ones, with the reason
    faults: list[str] = field(default_factory=list)  # of the source as a whole: it changed while it was read
    notes: list[str] = field(default_factory=list)  # what a reader should know besides

    @property
    def read(self) -> int:
        """How many images were read."""
        return sum(self.shapes.values())

    @property
    def flawless(self) -> bool:
        """Whether everything that was there was read."""
        return not self.skipped and not self.faults

    def skip(self, what: str) -> None:
        """Count something that could not be read."""
        self.skipped += 1
        if len(self.named) < NAMED:
            self.named.append(what)

    def warnings(self) -> list[str]:
        """Return a line on what was skipped, the faults and the notes."""
        lines = [*self.faults, *self.notes]
        if self.skipped:
            rest = self.skipped - len(self.named)
            more = f" and {rest} more" if rest else ""
            lines.insert(0, f"skipped {self.skipped} unreadable: {', '.join(self.named)}{more}")
        return lines


@dataclass(frozen=True)
class ImageSource:
    """Where one side's images come from."""

    title: str  # what a reader is told
    expected: int  # how many images there should be
    # (batch size, account, progress) -> uint8 batches (n, channels, height, width) of at most that size. Raises
    # `DataError` where the source as a whole cannot be used.
    batches: Callable[[int, Account, Progress], Iterator[Tensor]]
    identity: str = ""  # changes when the images do; empty: not known without reading them
    split: str = ""  # of a dataset
