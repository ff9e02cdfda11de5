"""Datasets in MNIST's format and torchvision's layout, ``<root>/<class>/raw``."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.idx import parse_idx
from genbench.builtin.datasets.published.files import Source, source, states
from genbench.builtin.download import Download

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(name: str, dataset: Any, root: str, cache: Path) -> ImageData:
    """Return both splits of a torchvision class of MNIST's family; `name` is that of the class.

    The compressed files are read, for which torchvision has checksums. Where only the extracted files exist, they are
    read, with a note. Raises `DataError` where the files are damaged or unavailable.
    """
    place = _source(name, root, cache, dict(dataset.resources))
    notes: tuple[str, ...] = ()
    if place.missing and _extracted(place):
        arrays = [_read(file, place) for file in _extracted(place)]
        notes = (
            f"{name}: {place.root / name / 'raw'} contains only extracted files, which have no published checksum",
        )
    else:
        place.obtain(
            [
                Download([f"{mirror}{file}" for mirror in dataset.mirrors], f"{name}/raw/{file}", md5)
                for file, md5 in dataset.resources
            ]
        )
        place.verify()
        arrays = [_read(place.root / name / "raw" / f"{file}.gz", place) for file in _FILES]
    train_images, train_labels, test_images, test_labels = arrays
    return ImageData(
        train=Images(train_images.unsqueeze(1), train_labels.to(torch.int64)),
        test=Images(test_images.unsqueeze(1), test_labels.to(torch.int64)),
        class_names=tuple(dataset.classes),
        notes=notes,
    )


def signature(name: str, root: str, cache: Path) -> str:
    """Return the state of the files that `load` would read; empty while they are missing."""
    place = _source(name, root, cache, {f"{file}.gz": "" for file in _FILES})
    return place.signature or states(_extracted(place))


def _source(name: str, root: str, cache: Path, sums: dict[str, str]) -> Source:
    files = {f"{name}/raw/{file}": md5 for file, md5 in sums.items()}
    return source(name, root, cache, files, f"{', '.join(sums)}", f"{name}/raw")


def _extracted(place: Source) -> list[Path]:
    """Return the extracted files in the order of `_FILES`, or an empty list where one is missing."""
    folder = place.root / Path(next(iter(place.files))).parent
    found = [folder / file for file in _FILES]
    return found if all(file.is_file() for file in found) else []


def _read(file: Path, place: Source) -> Tensor:
    try:
        content = file.read_bytes()
        return parse_idx(gzip.decompress(content) if file.suffix == ".gz" else content)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{file} cannot be used: {error}.", place.advice) from error
