"""The canvas of a figure: panels, axes, legend and files. The only module that imports matplotlib.

It draws without pyplot, a display, or the user's settings of matplotlib, and the same content gives the same bytes. All
text is drawn as it is: nothing in a name is taken for a formula.
"""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import matplotlib  # type: ignore[import-not-found, unused-ignore]
from matplotlib.axes import Axes  # type: ignore[import-not-found, unused-ignore]
from matplotlib.figure import Figure as Drawing  # type: ignore[import-not-found, unused-ignore]
from matplotlib.font_manager import (  # type: ignore[import-not-found, unused-ignore]
    FontProperties,
    findfont,
    fontManager,
    get_font,
)
from matplotlib.lines import Line2D  # type: ignore[import-not-found, unused-ignore]
from matplotlib.text import Text  # type: ignore[import-not-found, unused-ignore]
from matplotlib.ticker import (  # type: ignore[import-not-found, unused-ignore]
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from genbench.api.evaluation import Direction
from genbench.errors import UsageError
from genbench.report.figures.appearance import Appearance, Series
from genbench.report.figures.text import axis_label, drawable, shortened, tick, wrapped

__all__ = ["Axes", "Canvas", "Entry", "is_drawable", "render"]

FigureFormat: TypeAlias = Literal["pdf", "svg", "png"]
FONT = "DejaVu Sans"  # ships with matplotlib, so every machine draws the same
FALLBACKS = (  # for characters that it lacks, such as Chinese, Japanese and Korean ones, where one is installed
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans CJK TC", "Noto Sans SC", "Noto Sans JP",
    "Noto Sans KR", "Noto Sans TC", "Source Han Sans SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "IPAexGothic", "IPAGothic", "Nanum Gothic", "NanumGothic", "Hiragino Sans", "PingFang SC",
    "Hiragino Sans GB", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Meiryo", "Malgun Gothic", "SimHei",
    "Arial Unicode MS",
)  # fmt: skip
_CM = 1 / 2.54  # inches
_LEGEND_LINE = 0.46  # cm
_LOGARITHMIC = 20.0  # positive values that span a larger factor are on a logarithmic axis by default
_NAME = 40  # letters of a name in a legend with several columns
_MOST_PIXELS = 30_000  # of the height of a PNG
_DIVERGED = 1e100  # no axis can show larger values


class Rendered(NamedTuple):
    """The file of a figure."""

    content: bytes
    undrawn: str  # characters that no font has


@dataclass(frozen=True)
class Entry:
    """One line of the legend."""

    name: str
    handle: Line2D


class Canvas:
    """A figure that is being drawn."""

    def __init__(self, look: Appearance) -> None:
        self.look = look
        self.theme = look.theme
        self.drawing = Drawing(layout="constrained")
        self.drawing.set_facecolor(look.theme.colours.ground)

    def panels(
        self,
        number: int,
        *,
        title: str = "",
        legend: Sequence[Entry] = (),
        heights: Sequence[float],
        least_width: float = 7.0,
    ) -> list[Axes]:
        """Return axes for that many panels, as many side by side as have this width; sizes are in cm.

        Args:
            number: of panels.
            title: of the figure, for themes that have one.
            legend: its lines, below the panels.
            heights: of the panels, repeated as often as needed; a row of panels has the largest of its panels.
            least_width: of a panel.
        """
        across = max(1, min(number, int(self.look.width // least_width)))
        down = -(-number // across)
        columns = self._legend_columns(legend)
        below = _LEGEND_LINE * -(-len(legend) // columns) if legend else 0.0
        titled = wrapped(title, self.characters(self.look.width), 2) if title and self.theme.titled else ""
        above = 0.55 * (titled.count("\n") + 1) if titled else 0.0
        each = [heights[place % len(heights)] for place in range(number)]
        rows = [max(each[start : start + across]) for start in range(0, number, across)]
        height = self.look.height or sum(rows) + below + above + 0.2
        self.drawing.set_size_inches(self.look.width * _CM, height * _CM)
        if titled:
            self.drawing.suptitle(titled, x=0.01, ha="left", fontsize=self.theme.font_size + 1, fontweight="bold")
        if legend:
            self.drawing.legend(
                [entry.handle for entry in legend],
                [shortened(entry.name, self._legend_letters(columns)) for entry in legend],
                loc="outside lower center",
                ncols=columns,
            )
        grid = self.drawing.add_gridspec(down, across, height_ratios=rows)
        made = [self.drawing.add_subplot(grid[place // across, place % across]) for place in range(number)]
        self.panel_width = self.look.width / across
        self.panel_height = (height - below - above) * min(rows) / sum(rows)
        return made

    def _legend_columns(self, legend: Sequence[Entry]) -> int:
        longest = max((len(drawable(entry.name)) for entry in legend), default=1)
        room = self.characters(self.look.width)
        return max(1, min(len(legend), 4, room // (min(longest, _NAME) + 9)))

    def _legend_letters(self, columns: int) -> int:
        return max(self.characters(self.look.width) // columns - 9, 12)

    def characters(self, centimetres: float) -> int:
        """Return about how many characters of the usual size fit."""
        return int(centimetres / (0.0205 * self.theme.font_size))

    def entry(self, name: str, how: Series, dashes: Sequence[float] = (), **more: Any) -> Entry:
        """Return the line of the legend for a series; `more` are properties of matplotlib's lines."""
        handle = Line2D([], [], **{"color": how.colour, "marker": how.marker} | more)
        if dashes:
            handle.set_dashes(dashes)
        return Entry(name, handle)

    def label(self, axes: Axes, which: Literal["x", "y"], name: str, unit: str, direction: Direction | None) -> None:
        """Write the label of an axis, with unit and direction, as long as the panel allows."""
        room = self.panel_width - 1.5 if which == "x" else self.panel_height - 1.2
        getattr(axes, f"set_{which}label")(axis_label(name, unit, direction, self.characters(room)))

    def panel_title(self, axes: Axes, text: str, detail: str = "", above: float = 4.0) -> None:
        """Write the title of a panel and below it a detail in pale letters, `above` points over the panel."""
        if not text and not detail:
            return
        room = self.characters(self.panel_width - 1.8)
        small = self.theme.font_size - 1
        said = wrapped(detail, room, 2)
        if said:
            written = axes.annotate(
                said,
                (0, 1),
                xycoords="axes fraction",
                xytext=(0, above),
                textcoords="offset points",
                fontsize=small,
                color=self.theme.colours.pale,
                annotation_clip=False,
            )
            written.set_in_layout(False)  # the title above it makes the room
        pad = above + (said.count("\n") + 1) * 1.25 * small if said else above
        # Without a title of its own, a detail needs the room of an empty one.
        axes.set_title(
            wrapped(text, room, 2) or " ",
            loc="left",
            fontsize=self.theme.font_size if text else 1,
            fontweight="bold",
            pad=pad,
        )

    def note(self, axes: Axes, text: str) -> None:
        """Write a text in the middle of an empty panel."""
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        axes.text(
            0.5,
            0.5,
            wrapped(text, self.characters(self.panel_width * 0.7), 4),
            ha="center",
            va="center",
            color=self.theme.colours.pale,
            transform=axes.transAxes,
        )

    @staticmethod
    def is_wide(values: Sequence[float]) -> bool:
        """Say whether positive values span a factor that asks for a logarithmic axis."""
        known = [value for value in values if is_drawable(value)]
        return bool(known) and min(known) > 0 and max(known) / min(known) > _LOGARITHMIC

    def scale(self, axes: Axes, which: Literal["x", "y"], values: Sequence[float], log: bool | None) -> bool:
        """Choose the scale of an axis and its ticks; return whether it is logarithmic.

        Args:
            axes: the panel.
            which: the axis.
            values: what is drawn on it.
            log: whether it is logarithmic if all values are positive; None: if they span a factor of more than 20.
        """
        known = [value for value in values if is_drawable(value)]
        positive = bool(known) and min(known) > 0
        ratio = max(known) / min(known) if positive else 1.0
        logarithmic = positive and (self.is_wide(known) if log is None else log)
        axis = getattr(axes, f"{which}axis")
        if logarithmic:
            getattr(axes, f"set_{which}scale")("log")
            if ratio < 8:
                axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
            else:
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 300 else (1.0,), numticks=8))
        else:
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
            if positive and min(known) < (max(known) - min(known)) / 3:  # not far from zero, but none is negative
                getattr(axes, f"set_{which}lim")(**{"left" if which == "x" else "bottom": 0.0})
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        return logarithmic

    def ticks(self, axes: Axes, which: Literal["x", "y"], places: Sequence[float], names: Sequence[str]) -> None:
        """Put ticks with these names at these places."""
        axis = getattr(axes, f"{which}axis")
        axis.set_major_locator(FixedLocator(list(places)))
        axis.set_minor_locator(NullLocator())
        shown = [drawable(name) for name in names]
        axis.set_major_formatter(FuncFormatter(lambda value, n: shown[n] if n is not None and n < len(shown) else ""))
        if which == "x" and sum(len(name) + 2 for name in shown) > self.characters(self.panel_width - 1.0):
            for label in axis.get_ticklabels():
                label.set(rotation=30, rotation_mode="anchor", horizontalalignment="right")


def is_drawable(value: float | None) -> bool:
    """Say whether an axis can show a value."""
    return value is not None and math.isfinite(value) and abs(value) < _DIVERGED


def render(draw: Callable[[Canvas], None], look: Appearance, format: FigureFormat, title: str, about: str) -> Rendered:
    """Draw a figure; `title` and `about` become its metadata."""
    metadata: dict[str, Any] = {
        "pdf": {"Title": title, "Subject": about, "Creator": "genbench", "Producer": None, "CreationDate": None},
        "svg": {"Title": title, "Description": about, "Creator": "genbench", "Date": None},
        "png": {"Title": title, "Description": about, "Software": None},
    }[format]
    with _settings(look):
        canvas = Canvas(look)
        draw(canvas)
        for axes in canvas.drawing.axes:
            for image in axes.images:  # pixels stay square and sharp in vector files
                image.set_interpolation("auto" if format == "png" else "none")
        stream = io.BytesIO()
        dpi = min(look.theme.dpi, _MOST_PIXELS / canvas.drawing.get_figheight())
        try:
            canvas.drawing.savefig(stream, format=format, dpi=dpi, metadata=metadata)
        except UserWarning as error:
            raise UsageError(
                "The figure does not fit into this size.", "Choose a larger width or height.", code="GB710"
            ) from error
        return Rendered(stream.getvalue(), _undrawn(canvas.drawing))


def _undrawn(drawing: Drawing) -> str:
    """Return the characters of a drawing that no font has, in order."""
    used = {character for text in drawing.findobj(Text) for character in text.get_text() if character.isprintable()}
    for name in _families():
        if not used:
            break
        used -= {chr(code) for code in get_font(findfont(FontProperties(family=[name]))).get_charmap()}
    return "".join(sorted(used))


@cache
def _families() -> list[str]:
    """Return the fonts that draw a character, in this order; all machines have the first one."""
    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *(name for name in FALLBACKS if name in installed)]


@contextmanager
def _settings(look: Appearance) -> Iterator[None]:
    """Use genbench's settings of matplotlib, whatever the user's are."""
    theme = look.theme
    own: dict[Any, Any] = {
        "font.family": _families(),
        "font.size": theme.font_size,
        "text.parse_math": False,
        "text.color": theme.colours.ink,
        "axes.facecolor": theme.colours.ground,
        "axes.edgecolor": theme.colours.pale if theme.has_grid else theme.colours.ink,
        "axes.labelcolor": theme.colours.ink,
        "axes.labelsize": theme.font_size,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": theme.has_grid,
        "axes.axisbelow": True,
        "axes.titlesize": theme.font_size,
        "axes.formatter.use_mathtext": False,
        "grid.color": theme.colours.line,
        "grid.linewidth": 0.5,
        "xtick.color": theme.colours.pale if theme.has_grid else theme.colours.ink,
        "ytick.color": theme.colours.pale if theme.has_grid else theme.colours.ink,
        "xtick.labelcolor": theme.colours.ink,
        "ytick.labelcolor": theme.colours.ink,
        "xtick.labelsize": theme.font_size - 1,
        "ytick.labelsize": theme.font_size - 1,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.5,
        "legend.frameon": False,
        "legend.fontsize": theme.font_size - 0.5,
        "legend.columnspacing": 1.5,
        "legend.handlelength": 2.4,
        "figure.facecolor": theme.colours.ground,
        "savefig.facecolor": theme.colours.ground,
        "savefig.edgecolor": theme.colours.ground,
        "pdf.fonttype": 42,  # whole outlines of the glyphs used, which journals accept
        "svg.fonttype": "path",
        "svg.hashsalt": "genbench",
    }
    log = logging.getLogger("matplotlib")
    level = log.level
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(own)
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("error", message="constrained_layout not applied", category=UserWarning)
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
