"""What a figure of some kind is asked to show, and what its plot consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genbench.errors import UsageError
from genbench.report.figures.caption import Caption

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Canvas

MOST_PANELS = 24  # more do not fit a page; the caption says what is left out
MOST_NAMED = 24  # rows with a colour and a name in the legend; the others are grey


@dataclass(frozen=True)
class Options:
    """Quantities on the axes, by name, and their scales; empty and None: the usual ones."""

    x: str = ""
    y: tuple[str, ...] = ()
    log_x: bool | None = None
    log_y: bool | None = None

    def first_y(self, kind: str) -> str:
        """Return the only quantity of the vertical axis; raise `UsageError` if there are several."""
        if len(self.y) > 1:
            raise UsageError(
                f"A figure of kind {kind} shows one y, not {len(self.y)}.", "Make one figure for each.", code="GB710"
            )
        return self.y[0] if self.y else ""

    def refuse(self, kind: str, *names: str) -> None:
        """Raise `UsageError` if one of these options is set, which figures of this kind do not have."""
        for name in names:
            if getattr(self, name) not in ("", (), None):
                raise UsageError(
                    f"Figures of kind {kind} have no choice of {name}.", f"Leave {name} out.", code="GB710"
                )


@dataclass(frozen=True)
class Plot:
    """What a figure says and how it is drawn."""

    caption: Caption
    draw: Callable[[Canvas], None]


def left_out(items: Sequence[object], what: str) -> list[tuple[str, str]]:
    """Return the fact that some items are not drawn; none if there are none."""
    return [("Not drawn", f"{len(items)} more {what}; choose cells or quantities to see them")] if items else []
