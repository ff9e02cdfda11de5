"""What was found of a machine by comparing a version of the code with itself."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from genbench.results.schema import Record


class Rates(Record, frozen=True, kw_only=True):
    """How often a comparison of one cell ends how."""

    slowdown: Annotated[float, Meta(description="by which head's step was slowed on purpose; 0: the same code")]
    limit: Annotated[float, Meta(description="against which it was decided")]
    regressed: float
    passed: Annotated[float, Meta(description="ok or improved")]
    inconclusive: float
    median_blocks: float


class Calibration(Record, frozen=True, kw_only=True):
    """What one cell's comparisons are worth on one machine."""

    created: str
    cell: str
    machine: dict[str, Any]
    spread: Annotated[float, Meta(description="standard deviation of a block's log ratio, of the same code")]
    detectable: Annotated[float, Meta(description="smallest change that is found 95 times of 100, at the last look")]
    block_seconds: Annotated[float, Meta(description="median, starting the processes included")]
    decisions: Annotated[int, Meta(description="replayed for each of the rates")]
    rates: list[Rates]
    same: Annotated[list[float], Meta(description="log ratios of the same code")]
    slowed: Annotated[list[float], Meta(description="log ratios against the slowed step")]
