"""The baseline file with which a gate compares new results: small, sorted and made to be committed.

One value per line, sorted keys, no times and no paths: a diff of the file shows exactly what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue
from genbench.errors import UsageError
from genbench.results.consistency import impossible_values
from genbench.results.files import DamagedError, NewerFormatError, atomic_write, decode, encode_json, read_regular_file
from genbench.results.schema import Record

BASELINE_VERSION = 1


class BaselineQuality(Record, frozen=True, kw_only=True):
    """One metric, with one value per seed."""

    direction: Direction
    errors: Annotated[list[float | None], Meta(description="standard error of each value")] = []
    protocol: dict[str, str | int | float | bool] = {}
    values: list[float] = []


class BaselineCell(Record, frozen=True, kw_only=True):
    """One cell, over its seeds."""

    counters: Annotated[dict[str, float], Meta(description="exact; independent of the machine")] = {}
    machine: Annotated[dict[str, str], Meta(description="the machine on which the speeds were measured")] = {}
    metrics: dict[str, BaselineQuality] = {}
    seeds: list[int] = []
    settings: Annotated[dict[str, OptionValue], Meta(description="the requested settings, without the seed")] = {}
    speeds: Annotated[list[float], Meta(description="images per second of each seed")] = []
    machine_conflict: Annotated[
        str | UnsetType, Meta(description="in which conditions the seeds differ; left out if they agree")
    ] = UNSET
    uncertain: Annotated[
        str | UnsetType, Meta(description="intervals of speeds that are too wide to be compared; left out if none is")
    ] = UNSET


class Baseline(Record, frozen=True, kw_only=True):
    """The whole file."""

    baseline_version: int = BASELINE_VERSION
    cells: dict[str, BaselineCell] = {}


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file atomically, or keep the old one and raise `UsageError` if it cannot be written."""
    data = encode_json(baseline, indent=1, sort=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Free some space, or choose another file.", code="GB702"
        ) from error


def read_baseline(path: Path) -> Baseline:
    """Return the content of the file; raise `UsageError` if it is missing, damaged, or of a later version."""
    create = f"genbench baseline update RUN --baseline {path}"
    try:
        baseline = decode(read_regular_file(path), Baseline, "baseline_version", BASELINE_VERSION)
        for problem in _problems(baseline):
            raise DamagedError(problem)
    except FileNotFoundError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", f"Create it: {create}", code="GB802") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "Give a file that you may read.", code="GB802"
        ) from error
    except ValueError as error:  # NUL, or text that the file system cannot encode
        raise UsageError(
            f"{path} cannot be the path of a file.", "Give the path of a baseline file.", code="GB802"
        ) from error
    except NewerFormatError as error:
        raise UsageError(f"{path} {error}.", "Upgrade genbench.", code="GB704") from error
    except DamagedError as error:
        raise UsageError(
            f"{path} is not a valid baseline file: {error}.",
            f"Restore it, or remove it and create a new one: {create}",
            code="GB802",
        ) from error
    return baseline


def _problems(baseline: Baseline) -> Iterator[str]:
    """Yield each value that no genbench writes, with its place: a gate must not compare with it."""
    yield from impossible_values(baseline)
    for name, cell in baseline.cells.items():
        amounts: dict[str, Iterable[float | None]] = {"counters": cell.counters.values(), "speeds": cell.speeds}
        amounts |= {f"metrics.{metric}.errors": found.errors for metric, found in cell.metrics.items()}
        for part, values in amounts.items():
            if any(value is not None and value < 0 for value in values):
                yield f"cells.{name}.{part} has a negative value"
        for metric, found in cell.metrics.items():
            if found.errors and len(found.errors) != len(found.values):
                yield f"cells.{name}.metrics.{metric} has {len(found.values)} values, but {len(found.errors)} errors"
