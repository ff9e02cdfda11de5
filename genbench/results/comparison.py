"""What a comparison leaves behind: every window that was measured, the decisions, and under which conditions.

One JSON file. Everything in it but the windows can be derived again; the windows are the evidence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from genbench.results.schema import Record

EVIDENCE_VERSION = 1

Presence = Literal["both", "new", "gone"]


class WindowRecord(Record, frozen=True, kw_only=True):
    """One cell in one block."""

    steps: Annotated[int, Meta(description="in each window")]
    order: Annotated[str, Meta(description="whose window came when; A is base, B is head")]
    seconds: Annotated[list[float], Meta(description="of each window, in that order")]
    log_ratio: Annotated[float | None, Meta(description="ln(head's time / base's)")]


class BlockRecord(Record, frozen=True, kw_only=True):
    """What one pair of fresh processes measured."""

    number: int
    seconds: Annotated[float, Meta(description="that the whole block took, starting the processes included")]
    cells: dict[str, WindowRecord] = {}
    control: Annotated[WindowRecord | None, Meta(description="work that neither arm touches")] = None
    failed: Annotated[dict[str, str], Meta(description="cells without a measurement, with the reason")] = {}


class CellDecision(Record, frozen=True, kw_only=True):
    """What is known of one cell. Times are of a step; 0.05 is 5 % more time than base."""

    cell: str
    verdict: str
    presence: Annotated[Presence, Meta(description="'new': only head has it; 'gone': only base")] = "both"
    change: Annotated[float | None, Meta(description="mean over blocks, of time per step")] = None
    low: Annotated[float | None, Meta(description="bounds at the error of the look at which it was decided")] = None
    high: float | None = None
    robust: Annotated[float | None, Meta(description="Hodges-Lehmann estimate of the change")] = None
    blocks: int = 0
    detectable: Annotated[
        float | None, Meta(description="smallest change beyond the limit that this many blocks find, 95 times of 100")
    ] = None
    more_blocks: int | None = None
    reason: str = ""


class Comparison(Record, frozen=True, kw_only=True):
    """The whole file."""

    evidence_version: int = EVIDENCE_VERSION
    created: str
    base: str
    head: str
    versions: dict[str, dict[str, str]] = {}
    limit: Annotated[float, Meta(description="share by which a step may become slower")]
    looks: Annotated[list[int], Meta(description="numbers of blocks after which it was looked")]
    errors: Annotated[list[float], Meta(description="probability of an error at each look")]
    window_seconds: float
    settings: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    verdict: str
    reason: str = ""
    cells: list[CellDecision]
    geometric_mean: Annotated[float | None, Meta(description="of the changes of all cells that both have")] = None
    blocks: list[BlockRecord]
    notes: list[str] = []
