"""A folder of image files as a stream: each image at its own size, decoded by threads while the network runs.

Pixels are those of the file, neither cropped, resized nor rotated, as in pytorch-fid. Files that are not opaque with 8
bits per channel are converted by `genbench.builtin.datasets.image_file.to_eight_bits`; grey files stay grey.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.builtin.datasets.folder import find_left_out, folder_signature, printable, require_images
from genbench.builtin.datasets.image_file import UnreadableImage, quiet_pillow, read_pixels
from genbench.data.progress import Progress
from genbench.errors import DataError
from genbench.imagesets.source import ImageSource, ReadReport

_THREADS = 4  # Pillow releases the interpreter lock while decoding
_AHEAD = 2  # batches that are decoded before they are requested
_WAITING = 4  # batches of images that wait for others of the same shape, in a folder of many shapes


def folder_source(root: Path) -> ImageSource:
    """Return the images of a folder and its sub-folders; raise `DataError` where there are none."""
    identity = folder_signature(root)
    paths, problems = require_images(root)
    left_out = tuple(find_left_out(root))

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        for problem in problems:
            report.record_skipped(problem)
        yield from _by_shape(_decoded(root, paths, size, report, progress), size)
        if _signature(root) != identity:
            report.faults.append("the folder changed while it was read")

    return ImageSource(f"folder {printable(str(root))}", len(paths), batches, lambda: identity, left_out=left_out)


def _signature(root: Path) -> str:
    try:
        return folder_signature(root)
    except DataError:  # it was removed
        return ""


def _decoded(
    root: Path, paths: Sequence[PurePath], size: int, report: ReadReport, progress: Progress
) -> Iterator[Tensor]:
    """Yield the readable images, (channels, height, width), in the order of the paths."""
    waiting: deque[tuple[PurePath, Future[np.ndarray[Any, Any]]]] = deque()
    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="read-images") as pool:
        try:
            for number, path in enumerate(paths):
                waiting.append((path, pool.submit(read_pixels, root / path)))
                if len(waiting) > _AHEAD * size:
                    yield from _finished(*waiting.popleft(), report)
                    progress(number + 1 - len(waiting), len(paths))
            while waiting:
                yield from _finished(*waiting.popleft(), report)
                progress(len(paths) - len(waiting), len(paths))
        finally:
            for _, future in waiting:
                future.cancel()


def _finished(path: PurePath, future: Future[np.ndarray[Any, Any]], report: ReadReport) -> Iterator[Tensor]:
    try:
        pixels = future.result()
    except UnreadableImage as error:
        report.record_skipped(f"{printable(path)} ({error})")
        return
    channels, height, width = pixels.shape
    report.shapes[channels, height, width] += 1
    yield torch.from_numpy(pixels)


def _by_shape(images: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Collect images of the same shape into batches; where too many wait, yield the fullest batch early."""
    groups: dict[torch.Size, list[Tensor]] = {}
    waiting = 0
    for image in images:
        groups.setdefault(image.shape, []).append(image)
        waiting += 1
        if len(groups[image.shape]) == size or waiting >= _WAITING * size:
            fullest = max(groups, key=lambda shape: len(groups[shape]))
            group = groups.pop(fullest)
            waiting -= len(group)
            yield torch.stack(group)
    for group in groups.values():
        yield torch.stack(group)
