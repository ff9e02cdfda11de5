"""What a look at every image of a folder or dataset has found, before anything is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from genbench.datacheck.fingerprint import Fingerprints, Flags

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Progress: TypeAlias = Callable[[int, int], None]  # told how many images are done, and of how many


def unwatched(done: int, total: int) -> None:
    """Be a `Progress` that nobody sees."""


@dataclass(frozen=True)
class FileFacts:
    """What only files have; each is a list of images by index, or a count."""

    modes: Mapping[str, int]  # Pillow's names: L, RGB, RGBA, P, CMYK, I;16 …
    transparent: tuple[int, ...] = ()
    animated: tuple[int, ...] = ()  # only the first frame is read
    misnamed: Mapping[int, str] = field(default_factory=dict)  # the suffix is of another format: which it is
    unread: tuple[tuple[str, str], ...] = ()  # files with an image's content and another suffix: name and format
    stray: tuple[int, ...] = ()  # outside the sub-folders that would be classes
    size: int = 0  # side of the square that training would cut out; 0: not known
    channels: int = 3  # that training would see


@dataclass(frozen=True)
class Survey:
    """N readable images by column, and what could not be read."""

    source: str  # as the user named it
    kind: Literal["folder", "dataset"]
    names: Sequence[str]  # (N,), fit for any terminal
    held_out: Flags  # (N,)
    labels: Integers | None  # (N,)
    class_names: tuple[str, ...]
    widths: Integers  # (N,), as they are, upright
    heights: Integers  # (N,)
    fingerprints: Fingerprints
    picture: Callable[[int], Image.Image]  # an image again, of mode L or RGB; may raise `OSError`
    unreadable: tuple[tuple[str, str], ...] = ()  # name and reason
    files: FileFacts | None = None  # None: a dataset's images come without files
    points: bool = False  # not pictures
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def train(self) -> int:
        """How many images are for training."""
        return len(self) - int(self.held_out.sum())
