"""The baseline file: what a gate holds new results against. Small, sorted and made to be committed.

One line a value, keys in order, no times and no paths: a change of the file shows what changed, and nothing else does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue
from genbench.errors import UsageError
from genbench.results.files import atomic_write
from genbench.results.schema import Record

BASELINE_VERSION = 1


class BaselineQuality(Record, frozen=True, kw_only=True):
    """One metric, for each seed."""

    direction: Direction
    errors: Annotated[list[float | None], Meta(description="standard error of each value")] = []
    protocol: dict[str, str | int | float | bool] = {}
    values: list[float] = []


class BaselineCell(Record, frozen=True, kw_only=True):
    """One cell, over its seeds."""

    counters: Annotated[dict[str, float], Meta(description="exact; independent of the machine")] = {}
    machine: Annotated[dict[str, str], Meta(description="on which the speeds were measured")] = {}
    metrics: dict[str, BaselineQuality] = {}
    seeds: list[int] = []
    settings: Annotated[dict[str, OptionValue], Meta(description="what was asked for, but for the seed")] = {}
    speeds: Annotated[list[float], Meta(description="images per second of each seed")] = []


class Baseline(Record, frozen=True, kw_only=True):
    """The whole file."""

    baseline_version: int = BASELINE_VERSION
    cells: dict[str, BaselineCell] = {}


class _Version(msgspec.Struct):
    baseline_version: int = 0


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file at once, or leave the old one; raise `UsageError` where it cannot be written."""
    data = msgspec.json.format(msgspec.json.encode(baseline, order="sorted"), indent=1) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Make room, or choose another file."
        ) from error


def read_baseline(path: Path) -> Baseline:
    """Return what the file holds; raise `UsageError` where it is missing, damaged, or of a later version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", f"Make one: genbench baseline update RUN --baseline {path}"
        ) from error
    try:
        version = msgspec.json.decode(data, type=_Version).baseline_version
        if version > BASELINE_VERSION:
            raise UsageError(
                f"{path} is of version {version}; this genbench reads up to {BASELINE_VERSION}.", "Upgrade genbench."
            )
        if version < 1:
            raise UsageError(
                f"{path} is no baseline file.", f"Make one: genbench baseline update RUN --baseline {path}"
            )
        return msgspec.json.decode(data, type=Baseline)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{path} is damaged: {error}.", "Restore it, or make it anew with `genbench baseline update`."
        ) from error
