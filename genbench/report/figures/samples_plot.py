"""Pictures of cells side by side, each under its name."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import NoDataError
from genbench.report.charts.pictures import Picture, pictures
from genbench.report.figures.caption import Caption, table_caption
from genbench.report.figures.options import MOST_PANELS, Options, Plot, left_out
from genbench.report.figures.text import wrapped
from genbench.report.table.layout import Table
from genbench.report.table.outcome import CellOutcome
from genbench.results.files import read_regular_file

if TYPE_CHECKING:
    from PIL import Image

    from genbench.report.figures.canvas import Axes, Canvas

_WHAT = {
    "samples": "Samples, drawn at the end of training",
    "reconstructions": "Held-out images and their reconstructions",
    "closest pairs": "The samples closest to training images, above those images",
}
_MOST_PIXELS = 50_000_000  # of one picture; a larger one is refused before it is decoded


def samples_plot(table: Table, files_of: Callable[[CellOutcome], Mapping[str, Path]], options: Options) -> Plot:
    """Return the plot of the pictures `options.y`: ``samples``, ``reconstructions`` or ``closest pairs``.

    Raises `UsageError` for another name, and `NoDataError` if no cell has such a picture.
    """
    options.refuse("samples", "x", "log_x", "log_y")
    kind = options.first_y("samples") or "samples"
    found = pictures(table, files_of, kind)
    if not any(picture.path is not None for picture in found):
        raise NoDataError(f"No cell has pictures of its {kind}.", "Name runs with at least one finished cell.")
    drawing = _PictureDrawing(table, kind, found)
    return Plot(drawing.caption(), drawing.draw)


class _PictureDrawing:
    def __init__(self, table: Table, kind: str, found: list[Picture]) -> None:
        self.table, self.kind = table, kind
        self.pictures, self.others = found[:MOST_PANELS], found[MOST_PANELS:]

    def caption(self) -> Caption:
        seeds = ", ".join(f"{picture.name}: seed {picture.seed}" for picture in self.pictures)
        notes = [
            ("Which training", f"the first seed of each row that has a picture ({seeds})"),
            ("Choice of images", "not selected: the first ones that were drawn" if self.kind == "samples" else ""),
            *left_out(self.others, "rows"),
        ]
        return table_caption(_WHAT[self.kind], self.table, notes=notes)

    def draw(self, canvas: Canvas) -> None:
        least = 4.0 if len(self.pictures) > 2 else 7.0
        across = max(1, min(len(self.pictures), int(canvas.look.width // least)))
        images = [_read(picture.path) for picture in self.pictures]
        sizes = [image.size for image in images if not isinstance(image, str)]
        shape = max((height / width for width, height in sizes), default=1.0)
        lines = (
            2
            if any(len(picture.name) > canvas.characters(canvas.look.width / across) for picture in self.pictures)
            else 1
        )
        height = min((canvas.look.width / across - 0.3) * min(shape, 2.0), 20.0) + 0.4 * lines + 0.1
        made = canvas.panels(len(self.pictures), title=_WHAT[self.kind], heights=[height], least_width=least)
        for axes, picture, image in zip(made, self.pictures, images, strict=True):
            self._picture(canvas, axes, picture, image)

    def _picture(self, canvas: Canvas, axes: Axes, picture: Picture, image: Image.Image | str) -> None:
        room = canvas.characters(canvas.panel_width - 0.3)
        status = "" if picture.status == "ok" else f" ({picture.status})"
        axes.set_title(wrapped(picture.name + status, room, 2), loc="left", pad=3)
        if isinstance(image, str):
            canvas.note(axes, image)
            return
        axes.imshow(image)
        axes.set_axis_off()


def _read(path: Path | None) -> Image.Image | str:
    """Return a PNG file in colours, or why there is none."""
    from PIL import Image, UnidentifiedImageError

    if path is None:
        return "no picture"
    try:
        # PNG only, whatever the content: for PostScript, Pillow would start Ghostscript
        with Image.open(io.BytesIO(read_regular_file(path)), formats=["PNG"]) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return "the picture is too large"
            return opened.convert("RGB")
    except UnidentifiedImageError:
        return "the picture cannot be read: it is not a PNG file"
    except Exception as error:  # whatever the decoder raises for a broken file affects only this picture
        return f"the picture cannot be read: {type(error).__name__}"
