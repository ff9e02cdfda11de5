"""The record of a live comparison: every measured window, the decisions, and the conditions.

One JSON file. The windows are the evidence; everything else can be derived from them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from genbench.results.schema import Record

EVIDENCE_VERSION = 1

Presence = Literal["both", "new", "gone"]
Quantity = Literal["wall", "processor", "instructions"]


class WindowRecord(Record, frozen=True, kw_only=True):
    """One cell in one block."""

    steps: Annotated[int, Meta(description="in each window")]
    order: Annotated[str, Meta(description="order of the windows; A is base, B is head")]
    seconds: Annotated[list[float], Meta(description="of each window, in that order")]
    log_ratio: Annotated[float | None, Meta(description="ln(head's wall time / base's)")]
    processor_seconds: Annotated[
        list[float], Meta(description="processor time of each window, of all threads and children; empty: not measured")
    ] = []
    instructions: Annotated[
        list[float], Meta(description="instructions retired in user mode in each window; empty: not measured")
    ] = []


class BlockRecord(Record, frozen=True, kw_only=True):
    """The measurements of one pair of fresh processes."""

    number: int
    seconds: Annotated[float, Meta(description="of the whole block, including the start of the processes")]
    cells: dict[str, WindowRecord] = {}
    control: Annotated[WindowRecord | None, Meta(description="work that is the same in both arms")] = None
    failed: Annotated[dict[str, str], Meta(description="cells without a measurement, with the reason")] = {}


class Pilot(Record, frozen=True, kw_only=True):
    """One block of base against itself."""

    threads: int
    cells: dict[str, WindowRecord]
    spreads: Annotated[
        dict[Quantity, float],
        Meta(description="by quantity: standard deviation of the log ratio of neighbouring windows of two processes"),
    ] = {}


class QuantityChoice(Record, frozen=True, kw_only=True):
    """The quantity that decides, and why: part of the plan, chosen before head was measured."""

    asked: Annotated[str, Meta(description="--decide-by")] = "wall"
    quantity: Quantity = "wall"
    reason: str = ""
    threads: Annotated[int | None, Meta(description="of torch, in the comparison; null: not recorded")] = None
    pilots: Annotated[list[Pilot], Meta(description="base against itself; the last one chose; empty: no choice")] = []
    unmeasured: Annotated[
        dict[Quantity, str], Meta(description="quantities that were not measured, with the reason")
    ] = {}


class OtherQuantity(Record, frozen=True, kw_only=True):
    """What a quantity that does not decide says of a cell, by the same rule and after the same blocks."""

    quantity: Quantity
    verdict: str
    change: float | None = None
    low: float | None = None
    high: float | None = None


class CellDecision(Record, frozen=True, kw_only=True):
    """The decision about one cell, by one quantity per step; 0.05 is 5 % more of it than base."""

    cell: str
    verdict: str
    quantity: Annotated[Quantity, Meta(description="that decided")] = "wall"
    presence: Annotated[Presence, Meta(description="'new': only head has it; 'gone': only base")] = "both"
    change: Annotated[float | None, Meta(description="of the quantity per step, mean over blocks")] = None
    low: Annotated[float | None, Meta(description="bounds at the error of the deciding look")] = None
    high: float | None = None
    robust: Annotated[float | None, Meta(description="Hodges-Lehmann estimate of the change")] = None
    blocks: int = 0
    detectable: Annotated[
        float | None,
        Meta(description="smallest change beyond the limit that this many blocks detect, 95 times out of 100"),
    ] = None
    more_blocks: int | None = None
    reason: str = ""
    others: Annotated[list[OtherQuantity], Meta(description="quantities that were measured and do not decide")] = []


class Comparison(Record, frozen=True, kw_only=True):
    """The whole file."""

    evidence_version: int = EVIDENCE_VERSION
    created: str
    base: str
    head: str
    versions: dict[str, dict[str, str]] = {}
    limit: Annotated[float, Meta(description="share by which a step may become slower")]
    looks: Annotated[list[int], Meta(description="numbers of blocks after which a decision was possible")]
    errors: Annotated[list[float], Meta(description="probability of an error at each look")]
    window_seconds: float
    decided_by: QuantityChoice = QuantityChoice()
    settings: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    verdict: str
    reason: str = ""
    cells: list[CellDecision]
    geometric_mean: Annotated[float | None, Meta(description="of the changes of all cells that both versions have")] = (
        None
    )
    blocks: list[BlockRecord]
    notes: list[str] = []
