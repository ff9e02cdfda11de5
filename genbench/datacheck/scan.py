"""The result of reading every image of a folder or dataset once, before anything is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from genbench.datacheck.fingerprint import Fingerprints, Flags

Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class FileFacts:
    """Facts about image files; images are given by index."""

    modes: Mapping[str, int]  # Pillow's names: L, RGB, RGBA, P, CMYK, I;16 …
    transparent: tuple[int, ...] = ()
    animated: tuple[int, ...] = ()  # only the first frame is read
    misnamed: Mapping[int, str] = field(default_factory=dict)  # actual format of files with another suffix
    unsupported: tuple[str, ...] = ()  # images whose suffix is not read, with their format
    stray: tuple[int, ...] = ()  # images outside the sub-folders that would be classes
    size: int = 0  # side of the images in training; 0: unknown
    channels: int = 3  # in training


@dataclass(frozen=True)
class Scan:
    """N readable images, one array per property, and what could not be read."""

    source: str  # as the user named it
    kind: Literal["folder", "dataset"]
    names: Sequence[str]  # (N,), printable on any terminal
    held_out: Flags  # (N,)
    labels: Integers | None  # (N,)
    class_names: tuple[str, ...]
    widths: Integers  # (N,), as stored, after EXIF rotation
    heights: Integers  # (N,)
    fingerprints: Fingerprints
    read_image: Callable[[int], Image.Image]  # reads an image again, of mode L or RGB; may raise `OSError`
    unreadable: tuple[tuple[str, str], ...] = ()  # name and reason
    files: FileFacts | None = None  # None: the images of a dataset, without files
    points: bool = False  # the images are 2-D points
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def train(self) -> int:
        """How many images are for training."""
        return len(self) - int(self.held_out.sum())
