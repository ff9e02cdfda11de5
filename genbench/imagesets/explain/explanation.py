"""The records of an explanation: plain data, for text, JSON and figures."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Literal

import msgspec

from genbench.imagesets.explain.explanation_text import as_text
from genbench.imagesets.explain.protocol import Protocol, Value
from genbench.imagesets.explain.waterfall_plot import waterfall_plot
from genbench.imagesets.measured import ImageSetReport
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure

Status = Literal["same", "differs", "not at hand", "not stated"]


@dataclass(frozen=True)
class ProtocolDistance:
    """The distance under one protocol; standard errors are None where they are unknown."""

    names: tuple[str, ...]  # tools that use it; "here" is what `genbench fid` measures without --explain
    protocol: Protocol
    value: float
    standard_error: float | None  # from drawing the second set
    difference: float  # from "here"
    difference_error: float | None  # of the difference on the same images


@dataclass(frozen=True)
class Step:
    """One choice of a waterfall: its effect when the choices before it have changed."""

    choice: str
    before: Value
    after: Value
    effect: float
    standard_error: float | None
    lowest: float  # effect in other orders of the choices
    highest: float
    mean_over_orders: float | None  # the Shapley value; None: not all orders were computed
    mean_error: float | None


@dataclass(frozen=True)
class Waterfall:
    """The difference between two protocols, one choice at a time; the effects sum to `difference`."""

    start: str
    end: str
    start_value: float
    end_value: float
    difference: float
    standard_error: float | None
    steps: tuple[Step, ...]
    all_orders: bool  # whether `lowest` and `highest` are those of all orders, or of the order and its two extremes


@dataclass(frozen=True)
class Alternative:
    """The effect of another value of one choice alone."""

    choice: str
    value: Value
    effect: float
    standard_error: float | None


@dataclass(frozen=True)
class StatedChoice:
    """One choice, compared with a statement of the protocol."""

    choice: str
    here: Value
    stated: Value  # None: not stated
    status: Status
    lowest: float = 0.0  # how far this choice could still move the stated protocol's distance as measured here
    highest: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class StatementCheck:
    """What a stated protocol has in common with that used here, and how far the rest could move the number."""

    title: str
    choices: tuple[StatedChoice, ...]
    reproduced: bool  # whether everything that is stated could be done here
    lowest: float  # sum over choices, as if their effects added up
    highest: float


@dataclass(frozen=True)
class Explanation:
    """Which choice moves the distance by how much; printed, it is what `genbench fid --explain` prints."""

    real: ImageSetReport
    fake: ImageSetReport
    metric: str
    distances: tuple[ProtocolDistance, ...]  # that measured without --explain first
    waterfalls: tuple[Waterfall, ...]
    alternatives: tuple[Alternative, ...]  # from the first protocol, or from the stated one
    around: str  # which of them
    not_varied: dict[str, str]  # choice -> reason
    check: StatementCheck | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the explanation as JSON; docs/metrics.md documents every key."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"

    def figure(self, theme: str = "light", width: str | float = "two-column", height: float | None = None) -> Figure:
        """Return the waterfalls as a figure, as `genbench fid --explain --figure FILE` draws them.

        The arguments are those of `Results.figure`. Raises `NoDataError` where no protocol differs from the one here.
        """
        plot = waterfall_plot(self)
        return Figure("waterfall", plot.caption, plot.draw, make_appearance(theme, width, height))

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        warnings = "".join(f"<p>Warning: {html.escape(warning)}</p>" for warning in self.warnings)
        return f"{warnings}<pre>{html.escape(as_text(self))}</pre>"
