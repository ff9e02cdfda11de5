"""Reading one image file of any common format into a uint8 array.

Other packages use this too. It stays here because built-in plugins may import only the public API and each other.
"""

from __future__ import annotations

import contextlib
import os
import struct
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
# The entries of an open image's `info` that say what is known about integers wider than 8 bits.
_LARGEST = "genbench_largest_value"  # the integer that means white
_HIGH_BYTES = "genbench_high_bytes"  # Pillow keeps only the high bytes of this image's channels

# Without a stated range, an image whose brightest pixel is below this part of white probably uses fewer bits than its
# file has, and would become almost black.
_DARKEST = 1 / 16

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


_BITS_PER_SAMPLE = 258  # a tag of TIFF


class UnreadableImage(Exception):
    """A file that cannot be read; the message is the reason, without the path."""


def read_image(path: Path, size: int, channels: int) -> Array:
    """Return the image as (channels, size, size); `channels` is 3 (RGB) or 1 (grey, ITU-R 601 luma).

    In this order: the first frame, rotated according to EXIF; the largest centred square; transparency over white; 8
    bits per channel; resized by Pillow's antialiased Lanczos filter. Raises `UnreadableImage`.
    """
    with open_image(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        # the range of wide integers is judged by the whole image
        flat = centre_square(to_eight_bits(image)) if _is_wide(image) else to_eight_bits(centre_square(image))
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
            image.info.update(_integer_range(image, path))
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

    Grey integers v wider than 8 bits become 255 v / white, rounded to the nearest (Pillow's own conversion clips at 255
    instead). White is what the file states: the largest value of a PGM, or of the bits of a TIFF with fewer than 16, or
    of the significant bits of a PNG where no pixel exceeds it; otherwise it is 65535, and an image that would be almost
    black is unreadable. For 16-bit colour Pillow returns the high byte. Transparent pixels are composited over white.
    """
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels, whose range is not stated")
    if _is_wide(image):
        return _from_integers(np.asarray(image), image.info.get(_LARGEST))
    if image.info.get(_HIGH_BYTES) and image.mode == "RGB":  # with transparency, colours may well be black
        _require_bright(int(np.asarray(image).max()), 255, "high bytes")
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


def _is_wide(image: Image.Image) -> bool:
    return image.mode == "I" or image.mode.startswith("I;16")


def _integer_range(image: Image.Image, path: Path) -> dict[str, int | bool]:
    """Return what a file states about integers wider than 8 bits: entries of `info`."""
    if image.format == "PPM" and _is_wide(image):  # Pillow has scaled the values by the largest one in its header
        return {_LARGEST: 65535}
    if image.format == "PNG":
        if _is_wide(image):
            bits = _significant_bits(path)
            within = 8 < bits < 16 and int(np.asarray(image).max()) < 1 << bits
            return {_LARGEST: (1 << bits) - 1} if within else {}
        return {_HIGH_BYTES: True} if any(str(tile[3]).endswith(";16B") for tile in getattr(image, "tile", ())) else {}
    if image.format == "TIFF":
        depth = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
        bits = max(depth) if isinstance(depth, tuple) and depth else 0
        if _is_wide(image):
            return {_LARGEST: (1 << bits) - 1} if 8 < bits < 16 else {}
        return {_HIGH_BYTES: True} if bits == 16 else {}
    return {}


def _significant_bits(path: Path) -> int:
    """Return the number of significant bits that a PNG's chunk sBIT states; 0 if there is none."""
    with path.open("rb") as file:
        file.seek(8)
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind == b"sBIT":
                return int.from_bytes(file.read(1), "big")
            if kind in (b"IDAT", b"IEND"):
                break
            file.seek(length + 4, os.SEEK_CUR)
    return 0


def _from_integers(values: np.ndarray[Any, Any], largest: int | None) -> Image.Image:
    white = largest or 65535
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > white:  # Pillow's mode I also holds 32-bit integers
        raise UnreadableImage(f"integer pixels outside 0 to {white}")
    if largest is None and high > 0:
        _require_bright(high, white, "pixels")
    scaled = (values.astype(np.int64) * 510 + white) // (2 * white)
    return Image.fromarray(scaled.astype(np.uint8))


def _require_bright(high: int, white: int, what: str) -> None:
    if high < white * _DARKEST:
        raise UnreadableImage(
            f"{what} of at most {high} where white is {white}: almost black, unless fewer bits are used than the file "
            "has; scale them or save 8 bits"
        )


def failure_reason(error: Exception) -> str:
    """Return why an image could not be read, without the path."""
    if isinstance(error, UnidentifiedImageError):  # its own message repeats the path
        return "not an image in a known format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
