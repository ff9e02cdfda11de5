"""What a gate evaluates: each cell's counters, speeds and qualities, with one value per process.

They come from a stored run, a baseline file, or the JSON of pytest-benchmark. Cells that differ only in the seed
form one entry: their values are independent samples. Windows of one process are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue


@dataclass(frozen=True)
class Quality:
    """One metric of a cell, one value per seed."""

    values: Sequence[float]
    errors: Sequence[float | None]  # standard error of each value, from drawing samples
    direction: Direction  # which values are better
    protocol: Mapping[str, str | int | float | bool]  # must agree for values to be comparable; has the sample count
    seeds: Sequence[int] = ()  # of each value; empty if not known


@dataclass(frozen=True)
class CellMeasurements:
    """A cell, over its seeds."""

    settings: Mapping[str, OptionValue]  # without the seed; must agree for values to be comparable
    machine: Mapping[str, str]  # must agree for speeds to be comparable
    counters: Mapping[str, float] = field(default_factory=dict)  # exact; more is worse
    speeds: Sequence[float] = ()  # images per second of each seed's process, or seconds if `seconds` is set
    qualities: Mapping[str, Quality] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    seconds: bool = False  # `speeds` are times, where less is better
    failures: Sequence[str] = ()  # statuses without measurements, with their seed
    settings_conflict: str = ""  # in which settings the processes of this side differ; they are no sample then
    machine_conflict: str = ""  # in which conditions they differ: their speeds are no sample then
    uncertain: str = ""  # which speeds have an interval too wide to be compared, and how wide it is


@dataclass(frozen=True)
class Measurements:
    """All cells of one side, by name."""

    name: str
    entries: Mapping[str, CellMeasurements]
