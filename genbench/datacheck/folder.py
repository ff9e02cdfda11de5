"""Scanning a folder of image files: found and read as by the dataset `folder`, but uncropped.

A few threads read one file at a time each; only the fingerprints stay in memory.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from genbench.builtin.datasets.folder import choose_held_out, class_labels, find_images, find_left_out, printable
from genbench.builtin.datasets.image_file import (
    UnreadableImage,
    failure_reason,
    open_image,
    quiet_pillow,
    to_eight_bits,
)
from genbench.data.progress import Progress, ignore_progress
from genbench.datacheck.fingerprint import Fingerprints, fingerprint
from genbench.datacheck.scan import FileFacts, Scan

_THREADS = 4  # Pillow releases the interpreter lock while decoding; each thread holds one full-size image


class _File(NamedTuple):
    """Facts about one file, in addition to its fingerprint; `reason` says why it could not be read."""

    reason: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    transparent: bool = False
    animated: bool = False
    format: str = ""  # the actual format, where the suffix is of another one


def scan_folder(root: Path, size: int = 0, channels: int = 3, progress: Progress = ignore_progress) -> Scan:
    """Return the scan of a folder; `size` and `channels` are those of the images in training.

    Raises `DataError` where the folder itself cannot be listed.
    """
    paths, problems = find_images(root)
    fingerprints = Fingerprints.empty(len(paths))

    def read(index: int) -> _File:
        try:
            image, facts = read_upright(root / paths[index])
            fingerprints[index] = fingerprint(image)
        except UnreadableImage as error:
            return _File(reason=str(error))
        except Exception as error:  # a decoder may fail late, with any exception
            return _File(reason=failure_reason(error))
        return facts

    files: list[_File] = []
    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="check-images") as pool:
        try:
            for facts in pool.map(read, range(len(paths))):
                files.append(facts)
                progress(len(files), len(paths))
        except BaseException:  # Ctrl-C: cancel the reads that are pending
            pool.shutdown(cancel_futures=True)
            raise

    readable = np.array([not file.reason for file in files], dtype=np.bool_)
    found = [path for path, file in zip(paths, files, strict=True) if not file.reason]
    kept = [file for file in files if not file.reason]
    class_names, labels = class_labels(found)
    unreadable = [(printable(path), file.reason) for path, file in zip(paths, files, strict=True) if file.reason]
    return Scan(
        source=printable(str(root)),
        kind="folder",
        names=[printable(path) for path in found],
        held_out=np.array(choose_held_out(labels) if found else [], dtype=np.bool_),
        labels=np.array(labels, dtype=np.int64) if class_names else None,
        class_names=tuple(printable(name) for name in class_names),
        widths=np.array([file.width for file in kept], dtype=np.int64),
        heights=np.array([file.height for file in kept], dtype=np.int64),
        fingerprints=fingerprints.chosen(readable),
        read_image=lambda index: _read_again(root / found[index]),
        unreadable=tuple(unreadable),
        files=FileFacts(
            modes=dict(Counter(file.mode for file in kept).most_common()),
            transparent=tuple(index for index, file in enumerate(kept) if file.transparent),
            animated=tuple(index for index, file in enumerate(kept) if file.animated),
            misnamed={index: file.format for index, file in enumerate(kept) if file.format},
            unsupported=tuple(find_left_out(root)),
            stray=_stray(found),
            size=size,
            channels=channels,
        ),
        notes=tuple(f"not searched: {problem}" for problem in problems),
    )


def read_upright(path: Path) -> tuple[Image.Image, _File]:
    """Return the whole first frame of a file, upright, of mode L or RGB, and facts about the file.

    Use it inside `quiet_pillow`. Raises `UnreadableImage` for the files that the dataset `folder` skips.
    """
    with open_image(path) as image:
        mode, transparent, animated = image.mode, image.has_transparency_data, _is_animated(image)
        actual = "JPEG" if image.format == "MPO" else str(image.format)
        ImageOps.exif_transpose(image, in_place=True)
        flat = to_eight_bits(image)
        flat.load()
    misnamed = actual if actual != Image.registered_extensions().get(path.suffix.lower()) else ""
    return flat, _File("", flat.width, flat.height, mode, transparent, animated, misnamed)


def _read_again(path: Path) -> Image.Image:
    try:
        with quiet_pillow():
            return read_upright(path)[0]
    except UnreadableImage as error:
        raise OSError(str(error)) from error


def _is_animated(image: Image.Image) -> bool:
    animated = False
    with contextlib.suppress(Exception):  # later frames may be broken; only the first is used
        # The other frames of an MPO file are previews.
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        image.seek(0)
    return animated


def _stray(paths: Sequence[PurePath]) -> tuple[int, ...]:
    """Return the images outside sub-folders where most others are inside: because of them there are no labels."""
    outside = tuple(index for index, path in enumerate(paths) if len(path.parts) == 1)
    folders = {path.parts[0] for path in paths if len(path.parts) > 1}
    return outside if len(folders) > 1 and len(outside) < len(paths) / 2 else ()
