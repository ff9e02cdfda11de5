"""The colours of pages and figures, on light and on dark ground.

The colours of series begin with those of Okabe and Ito (2008), "Color universal design", without the three that are too
pale on white and the black of text. On their ground all have a contrast of at least 3 to 1, and readers with any common
kind of colour blindness can tell them apart (tests/report/test_palette.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Palette:
    """Colours as ``#rrggbb``, named by what they are for."""

    ink: str  # text
    pale: str  # what is not data
    line: str  # borders and grids
    ground: str
    card: str  # the ground of what stands out
    link: str
    good: str
    bad: str
    series: tuple[str, ...]


LIGHT = Palette(
    ink="#18181b", pale="#5f5f68", line="#dcdce0", ground="#ffffff", card="#f7f7f8", link="#0b5cad", good="#0a6b3d",
    bad="#b3261e", series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a2fe0", "#4a2c00"),
)  # fmt: skip
DARK = Palette(
    ink="#e8e8ea", pale="#a9a9b2", line="#3a3a40", ground="#17171a", card="#202024", link="#7cc0ff", good="#62d69a",
    bad="#ff8a80", series=("#56b4e9", "#e69f00", "#2fc99a", "#e39bc4", "#f0e442", "#f0703a"),
)  # fmt: skip


def css() -> str:
    """Return the colours as CSS variables: as the system asks, or as ``data-theme`` of the document says."""
    dark = f"color-scheme: dark; {_variables(DARK)}"
    return (
        f":root {{ color-scheme: light; {_variables(LIGHT)} }}\n"
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}\n'
    )


def _variables(palette: Palette) -> str:
    named = {one.name: getattr(palette, one.name) for one in fields(palette) if one.name != "series"}
    named |= {f"series-{number}": colour for number, colour in enumerate(palette.series)}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())
