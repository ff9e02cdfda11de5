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
    return "\n".join(textwrap.wrap(drawable(text), max(width, 8), max_lines=most, placeholder=" …"))


def axis_label(name: str, unit: str, direction: Direction | None, width: int) -> str:
    """Return the label of an axis with unit and direction, in two lines if it is longer than `width` characters."""
    better = BETTER[direction]
    quantity = shortened(f"{name} ({unit})" if unit else name, max(width, 16))
    if not better:
        return quantity
    separator = " " if len(quantity) + len(better) + 3 <= width else "\n"
    return f"{quantity}{separator}({better})"


def tick(value: float) -> str:
    """Return the number at a tick: 20,000, 1.5 M, 0.25, 1e-05."""
    if value and abs(value) < 1e-4:
        return f"{value:.6g}".replace("-", "−")
    text = f"{value:,.6g}"
    if abs(value) >= 1e12:
        text = f"{value:.4g}"
    elif abs(value) >= 1e5:
        size, unit = next(pair for pair in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(value) >= pair[0])
        text = f"{value / size:.6g} {unit}"
    return text.replace("-", "−")
