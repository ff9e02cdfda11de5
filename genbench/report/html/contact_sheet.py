"""Contact sheets: the sample grids of many cells in one image, each under its title."""

from __future__ import annotations

import bisect
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.results.files import read_regular_file

if TYPE_CHECKING:
    from PIL import Image

TILE = 560  # pixels of a tile's longer side; a smaller grid is enlarged by a whole factor up to it
_MOST_PIXELS = 8_000_000  # of all tiles together: many cells get smaller tiles, so that memory stays bounded
_MARGIN = 16
_TITLE_HEIGHT = 28
_FONT_SIZE = 16
_BACKGROUND, _INK, _MISSING = (255, 255, 255), (24, 24, 27), (212, 212, 216)


def contact_sheet(entries: Sequence[tuple[str, Path]]) -> Image.Image:
    """Return one RGB image of all entries (title, PNG file), row by row.

    A file that is missing or cannot be read is a grey tile that says why.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_FONT_SIZE)
    limit = min(TILE, math.isqrt(_MOST_PIXELS // max(len(entries), 1)))
    tiles = [_tile(path, limit) for _, path in entries] or [_blank("no cells", limit)]
    across = min(3, len(tiles)) if len(tiles) <= 9 else math.isqrt(len(tiles) - 1) + 1
    width = max(tile.width for tile in tiles) + _MARGIN
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    heights = [max(tile.height for tile in row) + _TITLE_HEIGHT + _MARGIN for row in rows]
    sheet = Image.new("RGB", (across * width + _MARGIN, sum(heights) + _MARGIN), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    titles = iter([title for title, _ in entries])
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = _MARGIN + column * width
            draw.text((left, top), _fit(next(titles, ""), font, width - _MARGIN), fill=_INK, font=font)
            sheet.paste(tile, (left, top + _TITLE_HEIGHT))
        top += height
    return sheet


def _tile(path: Path, limit: int) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        # PNG only, whatever the content: for PostScript, Pillow would start Ghostscript
        with Image.open(io.BytesIO(read_regular_file(path)), formats=["PNG"]) as opened:
            grid = opened.convert("RGB")
    except FileNotFoundError:
        return _blank("no image", limit)
    except UnidentifiedImageError:
        return _blank(f"{path.name} cannot be read:\nit is not a PNG file", limit)
    except Exception as error:  # whatever the decoder raises for a broken file affects only this tile
        return _blank(f"{path.name} cannot be read:\n{type(error).__name__}", limit)
    longer = max(grid.size)
    if longer > limit:
        grid.thumbnail((limit, limit), Image.Resampling.LANCZOS)
        return grid
    factor = limit // longer  # whole factors keep every pixel square and sharp
    return grid.resize((grid.width * factor, grid.height * factor), Image.Resampling.NEAREST)


def _blank(reason: str, limit: int) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    tile = Image.new("RGB", (limit, limit // 2), _MISSING)
    ImageDraw.Draw(tile).text((16, 16), reason, fill=_INK, font=ImageFont.load_default(_FONT_SIZE))
    return tile


def _fit(title: str, font: object, width: int) -> str:
    """Shorten a title in the middle until it is no wider than its tile: names of cells often differ only at the end."""
    line = " ".join(title.split())
    line = line if len(line) <= 200 else f"{line[:100]}{line[-100:]}"  # more never fits

    def shortened(letters: int) -> str:
        return f"{line[: letters - letters // 2]}…{line[len(line) - letters // 2 :]}"

    def length(letters: int) -> float:
        return float(font.getlength(shortened(letters)))  # type: ignore[attr-defined]  # both kinds of font have it

    if font.getlength(line) <= width:  # type: ignore[attr-defined]
        return line
    fitting = bisect.bisect_right(range(len(line)), float(width), key=length) - 1
    return shortened(fitting) if fitting >= 0 else ""
