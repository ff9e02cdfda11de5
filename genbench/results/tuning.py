"""The file ``tuning.json`` of `genbench tune`: what was tuned, every trial, and what the best settings are worth.

It is written again after each trial, from Optuna's journal and the results of the cells, which are the originals.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue
from genbench.errors import UsageError
from genbench.results.files import DamagedError, NewerFormatError, decode, read_regular_file
from genbench.results.schema import SCHEMA_VERSION, Record, Status

TUNING, JOURNAL, TRIALS, FINAL = "tuning.json", "journal.jsonl", "trials", "final"  # in the directory of a tuning

TrialStatus = Status | Literal["running", "pruned"]


class Trial(Record, frozen=True, kw_only=True):
    """One trial of a study: settings that a sampler has suggested, and what became of their cells."""

    number: Annotated[int, Meta(description="in its study, from 0")]
    seed: Annotated[int, Meta(description="training seed of its cells")]
    settings: Annotated[dict[str, OptionValue], Meta(description="by the names of the search space")]
    cells: Annotated[list[str], Meta(description="ids in trials/, one for each budget that it was given")]
    status: Annotated[
        TrialStatus, Meta(description="of its last cell; or pruned: another trial got the next budget; or running")
    ]
    reason: str = ""
    value: Annotated[
        float | None, Meta(description="of the metric, on the validation split, after the whole budget; else null")
    ] = None
    standard_error: float | None = None
    images: Annotated[int, Meta(description="real images consumed by its cells")] = 0


class BestOfTrials(Record, frozen=True, kw_only=True):
    """What the best of `trials` independent trials is worth; null: infinite, or not bounded by these trials."""

    trials: int
    expected: Annotated[float | None, Meta(description="mean of the best; null if so many trials can fail")]
    median: Annotated[float | None, Meta(description="median of the best; null if it is a failed trial")]
    low: Annotated[float | None, Meta(description="interval of the median")]
    high: float | None
    confidence: Annotated[float, Meta(description="attained coverage of [low, high]")]


class FinalValue(Record, frozen=True, kw_only=True):
    """The metric of the best settings, trained anew with fresh seeds on all training images."""

    seeds: Annotated[int, Meta(description="seeds with a value")]
    mean: float
    standard_error: float | None
    left_out: Annotated[list[str], Meta(description="seeds without a value, with the reason")] = []


class Study(Record, frozen=True, kw_only=True):
    """The trials of one model."""

    model: str
    loss: str
    space: Annotated[dict[str, str], Meta(description="each setting with its range or choices")]
    trials: list[Trial] = []
    images: Annotated[int, Meta(description="budget in real images: the same for every study")]
    best: Annotated[int | None, Meta(description="number of the trial with the best value")] = None
    running_best: Annotated[
        list[float | None], Meta(description="best value of the first 1, 2, … trials: optimistic, it chose the best")
    ] = []
    curve: Annotated[
        list[BestOfTrials], Meta(description="for 1, 2, … trials; empty if the trials are not independent")
    ] = []
    final: FinalValue | None = None


class TuningRecord(Record, frozen=True, kw_only=True):
    """The file ``tuning.json``."""

    schema_version: int = SCHEMA_VERSION
    created: Annotated[str, Meta(description="UTC, ISO 8601")]
    genbench: str
    command: Annotated[list[str], Meta(description="the command line, for a reader")] = []
    request: Annotated[dict[str, Any], Meta(description="what is fixed in every trial, by the names of flags")]
    search: Annotated[dict[str, Any], Meta(description="the search space as it was given")]
    metric: Annotated[str, Meta(description="the metric tuned; in trials it is measured on the validation split")]
    direction: Direction
    sampler: Literal["random", "tpe"]
    pruner: Literal["none", "halving"] = "none"
    trials: Annotated[int, Meta(description="of each study")]
    rungs: Annotated[
        list[tuple[int, int]], Meta(description="(images, trials): so many trials are trained for so many images")
    ]
    seed: Annotated[int, Meta(description="of the search, and of the training in trial 0; that of trial i is i higher")]
    final_seeds: Annotated[list[int], Meta(description="training seeds of the final cells; no trial had one of them")]
    studies: list[Study] = []
    finished: Annotated[bool, Meta(description="all trials and final cells are done")] = False


def read_tuning(directory: str | Path) -> TuningRecord:
    """Return the record of a tuning; raise `UsageError` if there is none, or none that this version can read."""
    path = Path(directory).expanduser() / TUNING
    cure = "Name the directory of a `genbench tune`."
    try:
        return decode(read_regular_file(path), TuningRecord)
    except FileNotFoundError:
        raise UsageError(f"{directory} is not a tuning: it has no {TUNING}.", cure, code="GB705") from None
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror or error}.", cure, code="GB701") from error
    except NewerFormatError as error:
        raise UsageError(f"{path} {error}.", "Update genbench.", code="GB704") from error
    except DamagedError as error:
        raise UsageError(f"{path} is damaged: {error}.", "Restore it from a copy.", code="GB703") from error
