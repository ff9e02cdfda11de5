"""Reading one image file of any common format into a uint8 array.

Other packages use this too. It stays here because built-in plugins may import only the public API and each other.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm"},
)

# Only these decoders run, whatever the file name: for PostScript, Pillow would start an external program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


class UnreadableImage(Exception):
    """A file that cannot be read; the message is the reason, without the path."""


def read_image(path: Path, size: int, channels: int) -> Array:
    """Return the image as (channels, size, size); `channels` is 3 (RGB) or 1 (grey, ITU-R 601 luma).

    In this order: the first frame, rotated according to EXIF; the largest centred square; transparency over white; 8
    bits per channel; resized by Pillow's antialiased Lanczos filter. Raises `UnreadableImage`.
    """
    with open_image(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        flat = to_eight_bits(centre_square(image))
        colour = flat.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(colour.resize((size, size), Image.Resampling.LANCZOS))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def read_pixels(path: Path) -> Array:
    """Return the image as stored, (channels, height, width): 1 channel where it is grey, otherwise 3 (RGB).

    The first frame, neither cropped, resized nor rotated; `to_eight_bits` converts other kinds of pixels. Raises
    `UnreadableImage`, also where the file changed meanwhile.
    """
    with open_image(path) as image:
        before = path.stat()
        pixels = np.array(to_eight_bits(image))
        after = path.stat()
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
            raise UnreadableImage("it changed while it was read")
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file; raise `UnreadableImage` for any failure here or while the image is used."""
    try:
        if not path.is_file():  # a dangling link, or a pipe, which would block
            raise UnreadableImage("not a regular file" if os.path.lexists(path) else "no longer there")
        if path.stat().st_size == 0:
            raise UnreadableImage("empty file")
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except UnreadableImage:
        raise
    except Exception as error:  # on corrupt files Pillow's decoders raise nearly anything
        raise UnreadableImage(failure_reason(error)) from error


def centre_square(image: Image.Image) -> Image.Image:
    """Return the largest centred square; of two equally central ones, the upper or left."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return the image in an opaque mode, 8 bits per channel; raise `UnreadableImage` where its range is undefined.

    16-bit grey v becomes v / 257, rounded to the nearest, which maps 65535 to 255 (Pillow's own conversion clips at
    255 instead). For 16-bit colour Pillow returns the high byte. Transparent pixels are composited over white.
    """
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels, whose range is not stated")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_sixteen_bits(np.asarray(image))
    if image.has_transparency_data:
        if image.mode == "La":  # premultiplied grey, which Pillow converts only to LA
            image = image.convert("LA")
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image.convert("RGB"), mask=image.getchannel("A"))
        return white
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings about unusual files, but refuse images above its pixel limit (`MAX_IMAGE_PIXELS`).

    Warning filters apply to the whole process: enter this around the threads that read, not inside them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _from_sixteen_bits(values: np.ndarray[Any, Any]) -> Image.Image:
    if values.min() < 0 or values.max() > 65535:  # Pillow's mode I also holds 32-bit integers
        raise UnreadableImage("integer pixels outside 0 to 65535")
    return Image.fromarray(((values.astype(np.int32) + 128) // 257).astype(np.uint8))


def failure_reason(error: Exception) -> str:
    """Return why an image could not be read, without the path."""
    if isinstance(error, UnidentifiedImageError):  # its own message repeats the path
        return "not an image in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
