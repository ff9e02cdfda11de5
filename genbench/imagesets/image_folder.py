"""A folder of image files as a stream: each at its own size, decoded by threads while the network is at work.

Pixels are those of the file: nothing is cropped, resized or turned, as pytorch-fid reads them. What is not 8 bits a
channel and opaque becomes so as in `genbench.builtin.datasets.image_file.to_eight_bits`; grey files stay grey.
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

from genbench.builtin.datasets.folder import find_images, folder_signature, printable
from genbench.builtin.datasets.image_file import UnreadableImage, quiet_pillow, read_pixels
from genbench.errors import DataError
from genbench.imagesets.source import Account, ImageSource, Progress

_THREADS = 4  # Pillow decodes outside the interpreter's lock
_AHEAD = 2  # batches that are decoded before they are asked for
_WAITING = 4  # batches' worth of images that wait for others of their shape, where a folder holds many shapes


def folder_source(root: Path) -> ImageSource:
    """Return the images of a folder and of all folders in it; raise `DataError` where there are none."""
    identity = folder_signature(root)
    paths, problems = find_images(root)
    if not paths:
        inside = f"; {problems[0]}" if problems else ""
        raise DataError(f"There are no images in {printable(str(root))}{inside}.", "Name a folder with image files.")

    def batches(size: int, account: Account, progress: Progress) -> Iterator[Tensor]:
        for problem in problems:
            account.skip(problem)
        yield from _by_shape(_decoded(root, paths, size, account, progress), size)
        if _signature(root) != identity:
            account.faults.append("the folder changed while it was read")

    return ImageSource(f"folder {printable(str(root))}", len(paths), batches, identity)


def _signature(root: Path) -> str:
    try:
        return folder_signature(root)
    except DataError:  # it is gone
        return ""


def _decoded(
    root: Path, paths: Sequence[PurePath], size: int, account: Account, progress: Progress
) -> Iterator[Tensor]:
    """Yield the readable images, (channels, height, width), in the order of the paths."""
    waiting: deque[tuple[PurePath, Future[np.ndarray[Any, Any]]]] = deque()
    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="read-images") as pool:
        try:
            for number, path in enumerate(paths):
                waiting.append((path, pool.submit(read_pixels, root / path)))
                if len(waiting) > _AHEAD * size:
                    yield from _finished(*waiting.popleft(), account)
                    progress(number + 1 - len(waiting), len(paths))
            while waiting:
                yield from _finished(*waiting.popleft(), account)
                progress(len(paths) - len(waiting), len(paths))
        finally:
            for _, future in waiting:
                future.cancel()


def _finished(path: PurePath, future: Future[np.ndarray[Any, Any]], account: Account) -> Iterator[Tensor]:
    try:
        pixels = future.result()
    except UnreadableImage as error:
        account.skip(f"{printable(path)} ({error})")
        return
    channels, height, width = pixels.shape
    account.shapes[channels, height, width] += 1
    yield torch.from_numpy(pixels)


def _by_shape(images: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Gather images of the same shape into batches; the fullest goes early where too many wait."""
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
