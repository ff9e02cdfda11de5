"""Reading the samples during training of a cell, for pages that show them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from genbench.results.files import read_regular_file
from genbench.results.schema import CellResult, TrainingSamples
from genbench.results.store import RunDirectory

MEDIA_TYPE = "image/webp"

_MOST_BYTES = 4 * 2**20  # far more than genbench writes
_MOST_PIXELS = 16 * 2**20


@dataclass(frozen=True)
class StoredSheet:
    """The file and what its frames are; it has been decoded once, and its size is that of the record."""

    content: bytes
    record: TrainingSamples


@dataclass(frozen=True)
class NoSheet:
    """Why there is nothing to show."""

    reason: str


def read_training_samples(run: RunDirectory, result: CellResult | None) -> StoredSheet | NoSheet:
    """Return a cell's samples during training, or the reason why there are none.

    The file is not trusted: it must have the size and the hash that the result states, and be a single WebP image of
    the stated width and height, which are limited too.
    """
    if result is None or result.training_samples is None:
        return NoSheet("no samples were kept during training")
    record, path = result.training_samples, run.training_samples_path(result.id)
    try:
        size = path.stat().st_size
        content = read_regular_file(path) if size == record.bytes <= _MOST_BYTES else None
    except FileNotFoundError:
        return NoSheet(f"{path.name} is missing")
    except OSError as error:
        return NoSheet(f"{path.name} cannot be read: {error.strerror}")
    if content is None:
        return NoSheet(f"{path.name} has {size:,} bytes, not the {record.bytes:,} that were written")
    if hashlib.sha256(content).hexdigest() != record.sha256:
        return NoSheet(f"{path.name} is not the file that was written")
    problem = _problem_of_picture(content, record)
    return NoSheet(f"{path.name} cannot be shown: {problem}") if problem else StoredSheet(content, record)


def _problem_of_picture(content: bytes, record: TrainingSamples) -> str:
    """Return why the picture is not the one that the record describes, or an empty string."""
    from PIL import Image, UnidentifiedImageError

    wanted = (record.columns * record.width, len(record.frames) * record.rows * record.height)
    if not 0 < wanted[0] * wanted[1] <= _MOST_PIXELS:
        return f"its record states {wanted[0]:,} × {wanted[1]:,} pixels"
    try:
        # WebP only, whatever the content: for PostScript, Pillow would start Ghostscript
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as picture:
            if picture.size != wanted:
                return f"it has {picture.width} × {picture.height} pixels, not {wanted[0]} × {wanted[1]}"
            if getattr(picture, "n_frames", 1) != 1:
                return "it is an animation"
            picture.load()
    except UnidentifiedImageError:
        return "it is not a WebP file, or Pillow was built without WebP"
    except Exception as error:  # whatever the decoder raises for a broken file affects only this picture
        return type(error).__name__
    return ""
