"""Pictures of a page: inside it, compressed where they would make it too large, or as links to their files."""

from __future__ import annotations

import base64
import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from genbench.report.html.cell_pictures import media_type

PAGE_BYTES = 12_000_000  # of all pictures of a page together, before base64 makes them a third larger
CELL_BYTES = 150_000  # of one cell's pictures, if the page has few cells
_LEAST = 4_000  # below this, a picture shows nothing
_QUALITY, _LOW_QUALITY = 80, 50
_METHOD = 2  # of WebP: 0 is fastest, 6 smallest
_PNG_HEADER = struct.Struct(">16sII")  # signature and chunk, width, height (PNG specification, 11.2.1)
_MOST_PIXELS = 40_000_000  # of a file that is decoded


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, or the reason why it is not shown."""

    url: str = ""
    problem: str = ""
    width: int = 0
    height: int = 0


def cell_budget(cells: int) -> int:
    """Return how many bytes the pictures of one cell may take on a page with that many cells."""
    return min(CELL_BYTES, PAGE_BYTES // max(cells, 1))


def embedded_pictures(found: Mapping[str, bytes | str], budget: int) -> dict[str, Picture]:
    """Return what `read_pictures` found as pictures, together no larger than `budget` bytes."""
    total = sum(len(content) for content in found.values() if isinstance(content, bytes))
    return {
        kind: Picture(problem=content)
        if isinstance(content, str)
        else _embedded(content, budget if total <= budget else budget * len(content) // total)
        for kind, content in found.items()
    }


def linked_pictures(paths: Mapping[str, Path], folder: Path) -> dict[str, Picture]:
    """Return the existing pictures at these paths as links from a page in `folder`; their content is not decoded."""
    found = {}
    for kind, path in paths.items():
        try:
            with path.open("rb") as file:
                start = file.read(_PNG_HEADER.size)
        except OSError:
            continue
        if len(start) == _PNG_HEADER.size and media_type(start) == "image/png":
            url = quote(os.path.relpath(path.resolve(), folder.resolve()).replace(os.sep, "/"))
            found[kind] = Picture(url, "", *_PNG_HEADER.unpack(start)[1:])
        else:
            found[kind] = Picture(problem="This picture is damaged: it is not a PNG file.")
    return found


def _embedded(data: bytes, limit: int) -> Picture:
    from PIL import Image

    kind = media_type(data)
    try:
        # These formats only, whatever the content: for PostScript, Pillow would start Ghostscript
        with Image.open(io.BytesIO(data), formats=["PNG", "WEBP"]) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return Picture(problem=f"This picture is too large: {opened.width:,} × {opened.height:,} pixels.")
            opened.load()
            size = opened.size
            if len(data) > limit:
                smaller = _compressed(opened.convert("RGB"), limit)
                if smaller is None:
                    return Picture(problem="There is no room for this picture on a page with so many cells.")
                data, kind = smaller, "image/webp"
    except Exception as error:  # whatever the decoder raises for a broken file affects only this picture
        return Picture(problem=f"This picture is damaged: {type(error).__name__}.")
    return Picture(f"data:{kind};base64,{base64.b64encode(data).decode()}", "", *size)


def _compressed(picture: object, limit: int) -> bytes | None:
    """Return the picture as WebP of at most `limit` bytes: of lower quality, and smaller if that is not enough."""
    from PIL import Image

    assert isinstance(picture, Image.Image)
    quality = _QUALITY
    while limit >= _LEAST and min(picture.size) >= 16:
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=quality, method=_METHOD)
        if stream.tell() <= limit:
            return stream.getvalue()
        if quality == _LOW_QUALITY or stream.tell() > 2 * limit:  # as many bytes for each pixel as now would fit
            scale = min(0.9, 0.95 * (limit / stream.tell()) ** 0.5)
            picture = picture.resize([max(1, round(scale * side)) for side in picture.size], Image.Resampling.BOX)
        quality = _LOW_QUALITY
    return None
