"""SVG elements that several figures share."""

from __future__ import annotations

import html
from collections.abc import Iterable

from genbench.report.html.style import figure_style

HEAD = 34  # height of the title of a standalone figure


def label(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    """Return a text element; `kind` is a class of the style."""
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def standalone(title: str, width: int, height: int, left: int, panels: Iterable[tuple[int, int, str]]) -> str:
    """Return an SVG file with a title that starts at `left`, and panels below it, each with its x, y and content."""
    groups = "".join(f'<g transform="translate({x} {HEAD + y})">{content}</g>' for x, y, content in panels)
    height += HEAD
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{html.escape(title)}</title><style>{figure_style()}</style>'
        f'<rect class="ground" width="100%" height="100%"/>'
        f'<text class="head" x="{left}" y="24">{html.escape(title)}</text>{groups}</svg>\n'
    )
