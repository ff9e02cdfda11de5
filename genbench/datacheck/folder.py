"""A survey of a folder of image files, as the dataset `folder` would find and read them, but uncropped.

Files are read one at a time by a few threads, and no image is kept: memory is that of the fingerprints.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genbench.builtin.datasets.folder import class_folders, find_images, held_out, printable
from genbench.builtin.datasets.image_file import SUFFIXES, UnreadableImage, quiet_pillow, to_eight_bits
from genbench.datacheck.fingerprint import Fingerprints, fingerprint
from genbench.datacheck.survey import FileFacts, Progress, Survey, unwatched

_THREADS = 4  # Pillow decodes outside the interpreter's lock; each thread holds one full-size image
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}


class _File(NamedTuple):
    """What is kept of one file beside its fingerprint; `reason` says why it could not be read."""

    reason: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    transparent: bool = False
    animated: bool = False
    format: str = ""  # of a file whose suffix is another format's


def survey_folder(root: Path, size: int = 0, channels: int = 3, progress: Progress = unwatched) -> Survey:
    """Return what there is in a folder; `size` and `channels` are what training would make of each image.

    Raises `DataError` where the folder itself may not be listed.
    """
    paths, problems = find_images(root)
    fingerprints = Fingerprints.empty(len(paths))

    def read(index: int) -> _File:
        try:
            image, facts = open_image(root / paths[index])
            fingerprints[index] = fingerprint(image)
        except UnreadableImage as error:
            return _File(reason=str(error))
        except Exception as error:  # a decoder may fail late, in ways of its own
            return _File(reason=_reason(error))
        return facts

    files: list[_File] = []
    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="check-images") as pool:
        try:
            for facts in pool.map(read, range(len(paths))):
                files.append(facts)
                progress(len(files), len(paths))
        except BaseException:  # Ctrl-C: what waits is not read any more
            pool.shutdown(cancel_futures=True)
            raise

    readable = np.array([not file.reason for file in files], dtype=np.bool_)
    found = [path for path, file in zip(paths, files, strict=True) if not file.reason]
    kept = [file for file in files if not file.reason]
    folders = class_folders(found) if found else None
    class_names = sorted(set(folders)) if folders else []
    classes = [class_names.index(folder) for folder in folders] if folders else [0] * len(found)
    unreadable = [(printable(path), file.reason) for path, file in zip(paths, files, strict=True) if file.reason]
    return Survey(
        source=printable(str(root)),
        kind="folder",
        names=[printable(path) for path in found],
        held_out=np.array(held_out(classes) if found else [], dtype=np.bool_),
        labels=np.array(classes, dtype=np.int64) if folders else None,
        class_names=tuple(printable(name) for name in class_names),
        widths=np.array([file.width for file in kept], dtype=np.int64),
        heights=np.array([file.height for file in kept], dtype=np.int64),
        fingerprints=fingerprints.chosen(readable),
        picture=lambda index: _picture(root / found[index]),
        unreadable=tuple(unreadable),
        files=FileFacts(
            modes=dict(Counter(file.mode for file in kept).most_common()),
            transparent=tuple(index for index, file in enumerate(kept) if file.transparent),
            animated=tuple(index for index, file in enumerate(kept) if file.animated),
            misnamed={index: file.format for index, file in enumerate(kept) if file.format},
            unread=tuple(_unread_images(root)),
            stray=_stray(found),
            size=size,
            channels=channels,
        ),
        notes=tuple(f"not searched: {problem}" for problem in problems),
    )


def open_image(path: Path) -> tuple[Image.Image, _File]:
    """Return a file's first frame, upright, whole, of mode L or RGB, and facts of the file; raise `UnreadableImage`.

    Use it inside `quiet_pillow`. What it refuses is what the dataset `folder` skips.
    """
    try:
        if not path.is_file():  # a dangling link, or a pipe, on which opening would wait for ever
            raise UnreadableImage("not a regular file" if os.path.lexists(path) else "no longer there")
        if path.stat().st_size == 0:
            raise UnreadableImage("empty file")
        expected = _format_by_suffix()
        with Image.open(path, formats=sorted(set(expected.values()))) as image:
            mode, transparent, animated = image.mode, image.has_transparency_data, _is_animated(image)
            actual = "JPEG" if image.format == "MPO" else str(image.format)
            ImageOps.exif_transpose(image, in_place=True)
            flat = to_eight_bits(image)
            flat.load()
    except UnreadableImage:
        raise
    except Exception as error:  # on corrupt files Pillow's decoders raise nearly anything
        raise UnreadableImage(_reason(error)) from error
    misnamed = actual if actual != expected.get(path.suffix.lower()) else ""
    return flat, _File("", flat.width, flat.height, mode, transparent, animated, misnamed)


def _picture(path: Path) -> Image.Image:
    try:
        with quiet_pillow():
            return open_image(path)[0]
    except UnreadableImage as error:
        raise OSError(str(error)) from error


def _format_by_suffix() -> dict[str, str]:
    known = Image.registered_extensions()
    return {suffix: known[suffix] for suffix in SUFFIXES if suffix in known}


def _is_animated(image: Image.Image) -> bool:
    animated = False
    with contextlib.suppress(Exception):  # later frames may be broken where the first, the one that is used, is not
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))  # MPO: a phone's preview
        image.seek(0)
    return animated


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its own message repeats the path
        return "not an image in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _unread_images(root: Path) -> list[tuple[str, str]]:
    """Return files that begin as images do but bear another suffix, which `folder` passes over."""
    unread = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if name.startswith(".") or path.suffix.lower() in SUFFIXES:
                continue
            content = _content_format(path)
            if content:
                unread.append((printable(path.relative_to(root)), content))
    return unread


def _content_format(path: Path) -> str:
    head = b""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "WEBP"
    return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), "")


def _stray(paths: Sequence[PurePath]) -> tuple[int, ...]:
    """Return the images that lie in no sub-folder where most others do: for their sake there are no labels."""
    outside = tuple(index for index, path in enumerate(paths) if len(path.parts) == 1)
    folders = {path.parts[0] for path in paths if len(path.parts) > 1}
    return outside if len(folders) > 1 and len(outside) < len(paths) / 2 else ()
