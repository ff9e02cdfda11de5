"""How figures look: their size, their theme, and the colours, markers and lines that tell rows apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

from genbench.errors import UsageError, near_miss
from genbench.report.palette import DARK, LIGHT, Palette

WIDTHS = {"one-column": 8.6, "two-column": 17.8}  # cm, of a column and of a page in most journals
_LEAST, _MOST = 4.0, 120.0  # cm


@dataclass(frozen=True)
class Theme:
    """Colours and sizes."""

    colours: Palette
    has_grid: bool = True
    titled: bool = True  # whether the figure has a title; in a paper, the caption is text
    font_size: float = 8.5  # points
    dpi: int = 200  # of a PNG


THEMES = {
    "light": Theme(LIGHT),
    "dark": Theme(DARK),
    "paper": Theme(replace(LIGHT, ink="#000000"), has_grid=False, titled=False, font_size=8.0, dpi=300),
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")  # as many as colours have no common factor with
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.2, 1.4), (5, 1.5, 1.2, 1.5), (8, 2))


@dataclass(frozen=True)
class Appearance:
    """The theme, and the size in centimetres; without a height, that of the content."""

    theme: Theme
    width: float
    height: float | None = None


@dataclass(frozen=True)
class Series:
    """What tells one row from another, also without colour."""

    colour: str
    marker: str
    dashes: tuple[float, ...]


def make_appearance(theme: str = "light", width: str | float = "two-column", height: float | None = None) -> Appearance:
    """Return the appearance; raise `UsageError` for an unknown theme or an impossible size.

    Args:
        theme: ``light``, ``dark`` or ``paper``.
        width: ``one-column``, ``two-column`` or centimetres.
        height: centimetres; None: that of the content.
    """
    if theme not in THEMES:
        raise UsageError(
            f"Unknown theme '{theme}'.{near_miss(theme, THEMES)}", f"Themes: {', '.join(THEMES)}.", code="GB101"
        )
    try:
        wide = WIDTHS[width] if isinstance(width, str) and width in WIDTHS else float(width)
    except ValueError:
        named = ", ".join(WIDTHS)
        raise UsageError(
            f"Unknown width '{width}'.{near_miss(str(width), WIDTHS)}", f"{named}, or centimetres.", code="GB101"
        ) from None
    for name, size in (("width", wide), ("height", height)):
        if size is not None and not _LEAST <= size <= _MOST:
            raise UsageError(f"A {name} of {size:g} cm is not possible.", f"Choose {_LEAST:g} to {_MOST:g} cm.")
    return Appearance(THEMES[theme], wide, height)


def series(theme: Theme, number: int) -> Series:
    """Return how the row of this number is drawn."""
    return Series(
        theme.colours.series[number % len(theme.colours.series)],
        MARKERS[number % len(MARKERS)],
        DASHES[number % len(DASHES)],
    )
