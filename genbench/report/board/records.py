"""What a board remembers of each run: everything that its pages over many runs are made from."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from genbench.api.evaluation import Direction
from genbench.gate.history import MeasuredPoint
from genbench.gate.reproduction import Verdict
from genbench.results.schema import CellResult, PlannedCell, Record


class ShownValue(Record, frozen=True, kw_only=True):
    """A value as a reader sees it, with what ranking needs."""

    text: str
    raw: str | int | float | None = None
    parts: dict[str, float | None] = {}
    seeds: tuple[float, ...] = ()


class BoardCell(Record, frozen=True, kw_only=True):
    """One cell: its plan, and its result without what only its own page shows."""

    slug: str
    name: str
    status: str
    reason: str
    planned: PlannedCell
    result: CellResult | None = None
    file: Annotated[str, Meta(description="name of the copied result, or empty")] = ""


class RowEntry(Record, frozen=True, kw_only=True):
    """One value of a row, and the leaderboard that it belongs to."""

    board: Annotated[str, Meta(description="slug of the leaderboard: equal for values that may be compared")]
    column: str
    unit: str
    direction: Direction
    kind: Literal["quality", "speed"]
    dataset: str
    where: Annotated[str, Meta(description="of a speed: the machine; else empty")]
    protocol: Annotated[str, Meta(description="under which the value holds, for a reader")]
    value: ShownValue
    html: Annotated[str, Meta(description="the columns of a leaderboard after the rank")]


class BoardRow(Record, frozen=True, kw_only=True):
    """Cells of a run that differ only in the seed, and their means."""

    name: str
    cells: tuple[int, ...]
    model: str
    dataset: str
    machine: Annotated[str, Meta(description="slug of the machine's page, or empty")]
    plugins: Annotated[list[str], Meta(description="slugs of the pages of the third-party plugins that it uses")]
    html: Annotated[str, Meta(description="the row in lists of cells")]
    entries: list[RowEntry]


class NamedPage(Record, frozen=True, kw_only=True):
    """A machine or a plugin that a run uses."""

    slug: str
    kind: Literal["machine", "plugin"]
    name: str
    facts: Annotated[list[str], Meta(description="versions, what it provides")]


class BoardRun(Record, frozen=True, kw_only=True):
    """One run."""

    slug: str
    name: str
    place: Annotated[str, Meta(description="path of the run, for a reader")]
    results_hash: str
    verdict: Verdict = "not checked"
    created: str = ""
    genbench: str = ""
    profile: str = ""
    command: str = ""
    commit: str = ""
    problem: Annotated[str, Meta(description="why nothing of the run could be read, or empty")] = ""
    damaged: dict[str, str] = {}
    cells: list[BoardCell] = []
    rows: list[BoardRow] = []
    named: list[NamedPage] = []
    points: list[MeasuredPoint] = []


class CachedRun(Record, frozen=True, kw_only=True):
    """A run as it was when its pages were written."""

    version: str
    signature: str
    content: str
    check: str
    run: BoardRun
    files: Annotated[dict[str, str], Meta(description="sha256 of every file that was written for it")]


class BoardState(Record, frozen=True, kw_only=True):
    """The file that marks a folder as a board, and says which files in it the board has written."""

    board_version: int
    version: str
    title: str
    pages: Annotated[dict[str, tuple[str, str]], Meta(description="by path: hash of the input and of the content")] = {}
    writing: Annotated[list[str], Meta(description="paths, or folders, that an unfinished build may have written")] = []
