"""Text in figures: cleaned names that fit, and the numbers at ticks."""

from __future__ import annotations

import textwrap
import unicodedata

from genbench.api.evaluation import Direction
from genbench.report.table.layout import clean

BETTER: dict[Direction | None, str] = {"higher": "higher is better", "lower": "lower is better", None: ""}


def drawable(text: str) -> str:
    """Return text in one line without characters that no font draws or that turn the direction of writing."""
    kept = (character for character in clean(text) if not unicodedata.category(character).startswith("C"))
    return "".join(kept)


def shortened(text: str, most: int) -> str:
    """Return text of at most this many characters, shortened in the middle: names often differ only at the end."""
    line = drawable(text)
    if len(line) <= most:
        return line
    tail = (most - 1) // 2
    return f"{line[: most - 1 - tail]}…{line[len(line) - tail :]}"


def wrapped(text: str, width: int, most: int = 3) -> str:
    """Return text in at most this many lines of this many characters; the last one ends in … if there is more."""
    return "\n".join(
        textwrap.wrap(drawable(text), max(width, 8), max_lines=most, placeholder=" …", break_on_hyphens=False)
    )


def axis_label(name: str, unit: str, direction: Direction | None, width: int) -> str:
    """Return the label of an axis with unit and direction, in lines of about `width` characters."""
    better = f"({BETTER[direction]})" if direction else ""
    quantity = drawable(f"{name} ({unit})" if unit else name)
    if len(quantity) + len(better) < width:
        return f"{quantity} {better}".strip()
    return "\n".join(filter(None, (_in_two(quantity, max(width, 16)), better)))


def _in_two(text: str, width: int) -> str:
    """Break a name that is longer than `width` once, behind a separator near its middle, and shorten what is left."""
    if len(text) <= width:
        return text
    places = [place + 1 for place, character in enumerate(text) if character in " ._-/·" and place + 1 < len(text)]
    place = min(places, key=lambda found: abs(found - len(text) / 2), default=len(text))
    return "\n".join(filter(None, (shortened(part, width) for part in (text[:place], text[place:]))))


def tick(value: float) -> str:
    """Return the number at a tick: 20,000, 1.5 M, 0.25, 1e-05."""
    size, unit = next((pair for pair in ((1e9, " G"), (1e6, " M")) if abs(value) >= pair[0]), (1.0, ""))
    if abs(value) >= 1e12:
        size, unit = 1.0, ""
    plain = abs(value) < 1e-4 or abs(value) >= 1e12
    return (f"{value:.4g}" if plain else f"{value / size:,.6g}{unit}").replace("-", "−")
