"""What a user asks of a tuning, and whether a stored one was asked the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from genbench.commands.arguments import request_of
from genbench.errors import UsageError
from genbench.planning.request import Request
from genbench.results.input_files import read_toml
from genbench.results.tuning import TUNING, TuningRecord
from genbench.tuning.study import PRUNERS, SAMPLERS, check_choice

DEFAULT_TRIALS, DEFAULT_FINAL_SEEDS = 20, 3
MOST_TRIALS = 1_000
LIMITS = ("timeout", "memory_limit", "threads")  # these may change when a tuning is resumed


@dataclass(frozen=True)
class Asked:
    """What a user asks for: the request that all cells share, the search space, and how to search."""

    request: Request
    search: Mapping[str, Any]
    source: str = "the search space"
    trials: int = DEFAULT_TRIALS
    metric: str = ""  # empty: the usual distance
    sampler: str = "random"
    pruner: str = "none"
    seed: int = 0
    final_seeds: int = DEFAULT_FINAL_SEEDS

    def __post_init__(self) -> None:
        check_choice("sampler", self.sampler, SAMPLERS)
        check_choice("pruner", self.pruner, PRUNERS)
        _require_count("trials", self.trials, 1, MOST_TRIALS)
        _require_count("final-seeds", self.final_seeds, 0, MOST_TRIALS)
        _require_count("seed", self.seed, 0, 2**31 - 1 - 2 * MOST_TRIALS)
        if self.pruner != "none" and self.sampler != "random":
            raise UsageError(
                f"--pruner {self.pruner} trains all trials for a small budget before any has a whole one, so --sampler "
                f"{self.sampler} would have nothing to learn from.",
                "Use --sampler random, or no pruner.",
                code="GB104",
            )
        _require_one_of_each(self.request)


def asked_of(search: str | Path | Mapping[str, Any] | None, arguments: Mapping[str, Any]) -> Asked:
    """Return what the arguments of `genbench.tune` ask for; raise `UsageError` if that is not possible.

    What is None, or not given, has its default. All that `Asked` does not take is of the request.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    how = {name: given.pop(name) for name in _HOW if name in given}
    content, source = read_search(search)
    return Asked(request_of(given), content, source, **how)


def read_search(search: str | Path | Mapping[str, Any] | None) -> tuple[dict[str, Any], str]:
    """Return a search space and the name of its source; raise `UsageError` if there is none."""
    if search is None:
        raise UsageError(
            "There is no search space.", "Give --search FILE.toml; see docs/tuning.md for an example.", code="GB110"
        )
    if isinstance(search, Mapping):
        return dict(search), "the search space"
    return read_toml(Path(search)), str(search)


_HOW = tuple(field.name for field in fields(Asked) if field.name not in ("request", "search", "source"))


def asked_again(out: Path, stored: TuningRecord) -> Asked:
    """Return what was asked; raise `UsageError` if the record states something impossible."""
    try:
        request = msgspec.convert(stored.request, Request)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{out / TUNING} is damaged: request: {error}.", "Restore it from a copy.", code="GB703"
        ) from error
    return Asked(
        request, stored.search, str(out / TUNING), stored.trials, stored.metric, stored.sampler, stored.pruner,
        stored.seed, len(stored.final_seeds),
    )  # fmt: skip


def terms(tuning: TuningRecord | Asked) -> dict[str, Any]:
    """Return what must agree for a command to go on with a tuning."""
    fixed = fixed_settings(tuning.request) if isinstance(tuning, Asked) else tuning.request
    seeds = tuning.final_seeds
    return {
        **{name: fixed.get(name) for name in sorted(fixed_settings(Request()))},
        "search": _as_json(tuning.search),
        **{name: getattr(tuning, name) for name in ("trials", "sampler", "pruner", "seed")},
        "final_seeds": seeds if isinstance(seeds, int) else len(seeds),
    }


def fixed_settings(request: Request) -> dict[str, Any]:
    """Return what a request fixes for all cells, as plain data."""
    data: dict[str, Any] = _as_json(replace(request, out=None))
    return {name: value for name, value in data.items() if name not in (*LIMITS, "out")}


def _as_json(value: object) -> Any:
    """Return plain data as it is after writing and reading it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _require_count(flag: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"--{flag} {value!r} is not a whole number from {least:,} to {most:,}.")


def _require_one_of_each(request: Request) -> None:
    """Raise `UsageError` for a request with several cells per model: the trials of a model form one study."""
    several = {
        "datasets": len(request.datasets),
        "losses": len(request.losses),
        "precision": len(request.precision),
        "nproc": len(request.nproc),
        **{name.replace("_", "-"): len(values) for name, values in request.sweep.items()},
        "variants": len(request.variants) + 1,
    }
    for name, count in several.items():
        if count > 1:
            raise UsageError(
                f"tune makes one study of each model, so it takes one value of {name}.",
                "Put settings to try into the search space, and tune other datasets and losses in runs of their own.",
                code="GB104",
            )
    if request.seeds != (0,):
        raise UsageError(
            "tune chooses the training seeds.", "Give --seed for the first of them, and --final-seeds.", code="GB104"
        )
