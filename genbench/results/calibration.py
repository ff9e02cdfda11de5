"""The calibration of a machine: a version of the code compared with itself."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from genbench.results.comparison import Quantity
from genbench.results.schema import Record


class Rates(Record, frozen=True, kw_only=True):
    """How often a comparison of one cell ends with each outcome."""

    slowdown: Annotated[float, Meta(description="share by which head's step was deliberately slowed; 0: the same code")]
    limit: Annotated[float, Meta(description="limit of the decision")]
    regressed: float
    passed: Annotated[float, Meta(description="ok or improved")]
    inconclusive: float
    median_blocks: float


class Calibration(Record, frozen=True, kw_only=True):
    """The precision of comparisons of one cell on one machine."""

    created: str
    cell: str
    quantity: Annotated[Quantity, Meta(description="by which the comparisons decide")] = "wall"
    machine: dict[str, Any]
    spread: Annotated[float, Meta(description="standard deviation of the log ratio of a block, for the same code")]
    detectable: Annotated[float, Meta(description="smallest change detected 95 times out of 100, at the last look")]
    block_seconds: Annotated[float, Meta(description="median, including the start of the processes")]
    decisions: Annotated[int, Meta(description="number replayed for each of the rates")]
    rates: list[Rates]
    same: Annotated[list[float], Meta(description="log ratios of the same code")]
    slowed: Annotated[list[float], Meta(description="log ratios against the slowed step")]
