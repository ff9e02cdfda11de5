"""How figures look: their size, their theme, and the colours, markers and lines that tell rows apart."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.errors import UsageError, near_miss

WIDTHS = {"one-column": 8.6, "two-column": 17.8}  # cm, of a column and of a page in most journals
_LEAST, _MOST = 4.0, 120.0  # cm


@dataclass(frozen=True)
class Theme:
    """Colours and sizes. Every pair of neighbouring series colours differs for all common kinds of colour blindness."""

    ground: str
    ink: str
    pale: str  # of what is not data
    grid: str  # empty: no grid
    series: tuple[str, ...]
    better: str
    worse: str
    titled: bool = True  # whether the figure has a title; in a paper, the caption is text
    font_size: float = 8.5  # points
    dpi: int = 200  # of a PNG


# Okabe and Ito (2008), without the yellow, which is too pale on white, and the black.
_ON_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_ON_DARK = ("#56b4e9", "#e69f00", "#2fc99a", "#e39bc4", "#f0e442", "#f0703a")
THEMES = {
    "light": Theme("#ffffff", "#18181b", "#6b7280", "#e5e7eb", _ON_LIGHT, "#0072b2", "#d55e00"),
    "dark": Theme("#18181b", "#e4e4e7", "#a1a1aa", "#3f3f46", _ON_DARK, "#56b4e9", "#f0703a"),
    "paper": Theme(
        "#ffffff", "#000000", "#555555", "", _ON_LIGHT, "#0072b2", "#d55e00", titled=False, font_size=8.0, dpi=300
    ),
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
        raise UsageError(f"Unknown theme '{theme}'.{near_miss(theme, THEMES)}", f"Themes: {', '.join(THEMES)}.")
    try:
        wide = WIDTHS[width] if isinstance(width, str) and width in WIDTHS else float(width)
    except ValueError:
        named = ", ".join(WIDTHS)
        raise UsageError(
            f"Unknown width '{width}'.{near_miss(str(width), WIDTHS)}", f"{named}, or centimetres."
        ) from None
    for name, size in (("width", wide), ("height", height)):
        if size is not None and not _LEAST <= size <= _MOST:
            raise UsageError(f"A {name} of {size:g} cm is not possible.", f"Choose {_LEAST:g} to {_MOST:g} cm.")
    return Appearance(THEMES[theme], wide, height)


def series(theme: Theme, number: int) -> Series:
    """Return how the row of this number is drawn."""
    return Series(
        theme.series[number % len(theme.series)], MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)]
    )
