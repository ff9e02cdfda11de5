"""The summary of one image that is kept in memory: a digest, a thumbnail, brightness and contrast."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

THUMBNAIL = 24  # pixels per side: enough to distinguish garments, and 60 MB for 100,000 images

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Digests: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]


class Fingerprint(NamedTuple):
    """The summary of one image."""

    digest: bytes  # 16 bytes, of height, width and pixel values: equal for equal images
    thumbnail: Bytes  # (THUMBNAIL, THUMBNAIL), luma
    brightness: float  # mean luma, 0 to 255
    contrast: float  # standard deviation of the luma
    grey: bool  # every pixel has equal red, green and blue


@dataclass
class Fingerprints:
    """Fingerprints of N images, one array per field."""

    digests: Digests  # (N, 2)
    thumbnails: Bytes  # (N, THUMBNAIL, THUMBNAIL)
    brightness: Floats  # (N,)
    contrast: Floats  # (N,)
    grey: Flags  # (N,)

    @classmethod
    def empty(cls, count: int) -> Fingerprints:
        """Return arrays for `count` fingerprints."""
        return cls(
            digests=np.zeros((count, 2), np.uint64),
            thumbnails=np.zeros((count, THUMBNAIL, THUMBNAIL), np.uint8),
            brightness=np.zeros(count, np.float32),
            contrast=np.zeros(count, np.float32),
            grey=np.zeros(count, np.bool_),
        )

    def __setitem__(self, index: int, one: Fingerprint) -> None:
        self.digests[index] = np.frombuffer(one.digest, np.uint64)
        self.thumbnails[index] = one.thumbnail
        self.brightness[index] = one.brightness
        self.contrast[index] = one.contrast
        self.grey[index] = one.grey

    def __len__(self) -> int:
        return len(self.digests)

    def chosen(self, which: Flags) -> Fingerprints:
        """Return the fingerprints where `which` (N,) is true."""
        return Fingerprints(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the fingerprint of an image of mode L or RGB.

    An RGB image without colour has the fingerprint of the same image in grey, which a model cannot distinguish.
    """
    luma = image.convert("L")
    pixels = np.asarray(image)
    grey = pixels.ndim == 2 or bool((pixels[..., :1] == pixels[..., 1:]).all())
    brightness, contrast = _moments(luma.histogram())
    return Fingerprint(
        digest=_digest(np.asarray(luma) if grey else pixels),
        thumbnail=np.asarray(luma.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)),
        brightness=brightness,
        contrast=contrast,
        grey=grey,
    )


def to_image(pixels: Bytes) -> Image.Image:
    """Return uint8 pixels (channels, height, width) as an image: RGB for three channels, otherwise the grey mean."""
    if len(pixels) == 3:
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.mean(0).round().astype(np.uint8))


def fingerprint_pixels(pixels: Bytes) -> Fingerprint:
    """Return the fingerprint of uint8 pixels (channels, height, width), any number of channels."""
    found = fingerprint(to_image(pixels))
    return found if len(pixels) in (1, 3) else found._replace(digest=_digest(pixels))


def _digest(pixels: Bytes) -> bytes:
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _moments(histogram: list[int]) -> tuple[float, float]:
    """Return the mean and standard deviation of the levels in a histogram, computed from exact integers."""
    count = sum(histogram)
    total = sum(level * times for level, times in enumerate(histogram))
    squares = sum(level * level * times for level, times in enumerate(histogram))
    return total / count, math.sqrt(count * squares - total * total) / count
