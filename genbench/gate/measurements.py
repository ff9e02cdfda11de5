"""What a gate looks at: of every cell the counters, the speeds and the qualities, one value for each process.

They come from a stored run, a baseline file, or the JSON of pytest-benchmark. Cells that differ only in the seed are
one entry: their values are independent samples. Windows of one process are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue


@dataclass(frozen=True)
class Quality:
    """One metric of a cell, for each seed."""

    values: Sequence[float]
    errors: Sequence[float | None]  # standard error of each value, of drawing samples
    direction: Direction  # which values are better
    protocol: Mapping[str, str | int | float | bool]  # values compare only where it agrees; holds the sample count


@dataclass(frozen=True)
class CellMeasurements:
    """A cell, over its seeds."""

    settings: Mapping[str, OptionValue]  # what was asked, but for the seed; values compare only where it agrees
    machine: Mapping[str, str]  # speeds compare only where it agrees
    counters: Mapping[str, float] = field(default_factory=dict)  # exact; more is worse
    speeds: Sequence[float] = ()  # images per second of each seed's process; or seconds, where `seconds` is set
    qualities: Mapping[str, Quality] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    seconds: bool = False  # `speeds` are times, of which less is better
    unwell: Sequence[str] = ()  # statuses other than ok, with their seed


@dataclass(frozen=True)
class Measurements:
    """All cells of one side, by name."""

    name: str
    entries: Mapping[str, CellMeasurements]
