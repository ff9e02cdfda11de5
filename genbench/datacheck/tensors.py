"""Scanning a dataset that is already loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from genbench.data.progress import Progress, ignore_progress
from genbench.datacheck.fingerprint import Fingerprints, fingerprint_pixels, to_image
from genbench.datacheck.scan import Scan

Array = np.ndarray[Any, Any]


def scan_tensors(
    source: str,
    train: tuple[Array, Array | None],
    test: tuple[Array, Array | None],
    class_names: Sequence[str] = (),
    points: bool = False,
    notes: Sequence[str] = (),
    progress: Progress = ignore_progress,
) -> Scan:
    """Return the scan of two splits.

    Args:
        source: the dataset's name.
        train: uint8 pixels (N, channels, height, width), memory-mapped or not, and labels (N,) or None.
        test: the same, held out.
        class_names: by label; further labels are named by their number.
        points: whether the images are 2-D points.
        notes: those of the dataset.
        progress: called after each image.
    """
    splits = [pixels for pixels, _ in (train, test)]
    sizes = [len(pixels) for pixels in splits]
    count = sum(sizes)
    fingerprints = Fingerprints.empty(count)
    for index in range(count):
        fingerprints[index] = fingerprint_pixels(np.asarray(_at(splits, index)))
        progress(index + 1, count)
    labels = None
    if train[1] is not None and test[1] is not None:
        labels = np.concatenate([np.asarray(train[1]), np.asarray(test[1])]).astype(np.int64)
    _, _, height, width = splits[0].shape
    return Scan(
        source=source,
        kind="dataset",
        names=[f"train[{n}]" for n in range(sizes[0])] + [f"test[{n}]" for n in range(sizes[1])],
        held_out=np.arange(count) >= sizes[0],
        labels=labels,
        class_names=tuple(class_names),
        widths=np.full(count, width),
        heights=np.full(count, height),
        fingerprints=fingerprints,
        read_image=lambda index: to_image(np.asarray(_at(splits, index))),
        points=points,
        notes=tuple(notes),
    )


def _at(splits: Sequence[Array], index: int) -> Array:
    one: Array = splits[0][index] if index < len(splits[0]) else splits[1][index - len(splits[0])]
    return one
