"""Recognising images that are not read because of their suffix: by their first bytes, or by a known suffix."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_SUFFIXES = frozenset(
    {".jfif", ".jif", ".jpe", ".dib", ".pbm", ".apng", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".tga"}
    | {".psd", ".exr", ".dds", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}
)
_HEAD = 32  # bytes
_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II\*\0|MM\0\*",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM....\0\0\0\0",
    "PPM": rb"P[1-6]\s+(?:#|\d+\s)",
    "HEIF": rb"....ftyp(?:hei[cfmsx]|hev[cx]|mif1|msf1)",
    "AVIF": rb"....ftypavi[fs]",
    "JPEG XL": rb"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG 2000": rb"\0\0\0\x0cjP  \r\n\x87\n",
}
_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _SIGNATURES.items()}


def unread_format(path: Path) -> str:
    """Return the format of an image whose suffix is not one of those that are read; empty where it is no image."""
    return _content_format(path) or (path.suffix[1:].upper() if path.suffix.lower() in _SUFFIXES else "")


def _content_format(path: Path) -> str:
    """Return the format that the first bytes of a regular file show; empty where it is none of an image."""
    head = b""
    with contextlib.suppress(OSError):
        if path.is_file():  # reading a pipe would block
            with path.open("rb") as file:
                head = file.read(_HEAD)
    return next((name for name, pattern in _PATTERNS.items() if pattern.match(head)), "")
