"""Whether a stored record, whose types are right, also states something possible.

A file that somebody has edited, or that a faulty disk has changed, may be valid JSON of the right types and still hold
values that no genbench writes. A reader of results relies on what is checked here, so one such file costs only itself.
The decoder checks the numbers of windows, curves and frames, see `genbench.results.schema`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import msgspec

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.recipe import RECIPE_SCHEMA, RENAMED
from genbench.errors import UsageError
from genbench.results.files import DamagedError, decode, encode
from genbench.results.schema import (
    LARGEST_INTEGER,
    LARGEST_NUMBER,
    CellIdentity,
    CellResult,
    CurvePoint,
    PlannedCell,
    RaceRecord,
    Record,
    ReferenceResult,
    RunRecord,
    TrainingFrame,
    Window,
)
from genbench.results.shared_parts import SHARED

LONGEST_ID = 200  # bytes; a file name has at most 255, and the id is followed by suffixes such as ".resume.safetensors"
LARGEST_SIDE = 65_536  # pixels of an image
_DEEPEST = 50

_REQUIRED_SETTINGS = ("precision", "engine")  # every version has stored them; other recipe fields may be newer
_RECIPE = {option.name: option for option in RECIPE_SCHEMA}
_SIGNED = frozenset({"seed", "temperature"})  # the only integers of a record that may be negative
_FREE = frozenset(
    {"options", "metric_options", "recipe", "protocol", "environment", "settings"}
)  # mappings with numbers of any sign
_NOT_NEGATIVE = frozenset({"seconds", "images_per_second", "low", "high", "steps_per_second", "standard_error"})
_MARKS_FAILURE = frozenset({"found", "tolerance", "shadow"})  # of an engine check, where 1e300 stands for infinity


def problem_of_id(id: str) -> str:
    """Return why a text cannot be the id of a cell or of reference rows, which is part of file names; '' if it can."""
    if not id or id.startswith(".") or PurePath(id).name != id:
        return f"{_short(id)} cannot be an id, because it is not the name of a file"
    if len(id.encode(errors="replace")) > LONGEST_ID:
        return f"an id has at most {LONGEST_ID} bytes, but {_short(id)} has {len(id.encode(errors='replace'))}"
    if "\0" in id:
        return f"{_short(id)} cannot be an id, because it contains a NUL character"
    return ""


def problem_of_result(result: CellResult, planned: CellIdentity | None = None) -> str:
    """Return what is impossible in a cell's result, with the name of the field; '' if nothing is.

    Args:
        result: as it was read.
        planned: the identity of the cell in the plan, in which nothing is impossible; None: it is not in the plan.
    """
    return next(_problems_of_result(result, planned), "")


def problems_of_planned_cells(cells: Sequence[PlannedCell]) -> dict[int, str]:
    """Return what is impossible in the entries of a plan, by their position, with the name of the field.

    A part that several cells share, see `genbench.results.shared_parts`, is examined once.
    """
    possible: set[int] = set()  # the parts in which nothing is impossible, by `id`
    problems: dict[int, str] = {}
    for number, cell in enumerate(cells):
        parts = [part for name in SHARED if (part := getattr(cell.identity, name))]
        known = {name: _NOTHING for name in SHARED if id(getattr(cell.identity, name)) in possible}
        if problem := next(_problems_of_planned_cell(cell, known), ""):
            problems[number] = problem
        else:
            possible.update(map(id, parts))
    return problems


def problem_of_planned_cell(planned: PlannedCell) -> str:
    """Return what is impossible in an entry of a plan, with the name of the field; '' if nothing is."""
    return next(_problems_of_planned_cell(planned), "")


def problem_of_references(result: ReferenceResult) -> str:
    """Return what is impossible in the reference rows of a dataset, with the name of the field; '' if nothing is."""
    return next(_problems_of_references(result), "")


def problem_of_plan(record: RunRecord) -> str:
    """Return what is impossible in a plan, apart from its cells; '' if nothing is."""
    return next(_problems_of_plan(record), "")


def problem_of_race(race: RaceRecord, planned: RunRecord) -> str:
    """Return what is impossible in the decisions of the races of a plan; '' if nothing is."""
    return next(_problems_of_race(race, planned), "")


def storable(result: CellResult) -> CellResult:
    """Return the result without numbers that a reader would refuse, so that no such number costs the whole cell.

    An estimate that is not finite, or whose square is not, becomes an `Unavailable`; a loss of that size is left out of
    the curve. If something else is impossible, the cell becomes a failed one that says so.
    """
    kept, lost = _storable_estimates(result.estimates)
    best = result.best
    if best is not None:
        best = msgspec.structs.replace(best, estimates=_storable_estimates(best.estimates)[0])
        best = best if any(estimate.metric == best.metric for estimate in best.estimates) else None
    stored = msgspec.structs.replace(
        result,
        curves=[
            msgspec.structs.replace(point, terms={k: _number_or_none(v) for k, v in point.terms.items()})
            for point in result.curves
        ],
        estimates=kept,
        unavailable=[*result.unavailable, *lost],
        evaluations=[
            msgspec.structs.replace(point, estimates=_storable_estimates(point.estimates)[0])
            for point in result.evaluations
        ],
        best=best,
    )
    problem = _problem_of_encoding(stored) or problem_of_result(stored)
    if not problem:
        return stored
    return CellResult(
        id=result.id,
        identity=result.identity,
        status="failed",
        reason=f"its result could not be stored, because {problem}",
        synthetic_data=result.synthetic_data,
        notes=result.notes,
    )


def _problem_of_encoding(result: CellResult) -> str:
    """Return why a result would not be read again as it was written: a plugin may have put anything into it."""
    try:
        decode(encode(result), CellResult)
    except DamagedError as error:
        return str(error)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _storable_estimates(estimates: Sequence[Estimate]) -> tuple[list[Estimate], list[Unavailable]]:
    kept = [
        dataclasses.replace(
            one,
            standard_error=_number_or_none(one.standard_error),
            debiased=_number_or_none(one.debiased),
            null=_number_or_none(one.null),
        )
        for one in estimates
        if is_storable(one.value)
    ]
    lost = [one for one in estimates if not is_storable(one.value)]
    return kept, [Unavailable(one.metric, f"its value was {one.value}") for one in lost]


def is_storable(number: float) -> bool:
    """Return whether a number is finite and small enough for a reader to compute with it, as JSON of any reader can."""
    if isinstance(number, int):
        return abs(number) <= LARGEST_INTEGER
    return math.isfinite(number) and abs(number) <= LARGEST_NUMBER


def _number_or_none(number: float | None) -> float | None:
    return number if number is not None and is_storable(number) else None


def first_difference(stored: CellIdentity, planned: CellIdentity) -> str:
    """Return the first field in which two identities differ, or ''."""
    for name in CellIdentity.__struct_fields__:
        ours, theirs = getattr(stored, name), getattr(planned, name)
        if ours != theirs and isinstance(ours, dict) and isinstance(theirs, dict):
            keys = sorted(key for key in {*ours, *theirs} if ours.get(key, _MISSING) != theirs.get(key, _MISSING))
            return f"{name}.{keys[0]}"
        if ours != theirs:
            return name
    return ""


_MISSING = object()
_NOTHING: Any = None  # in place of what needs no check


def _problems_of_result(result: CellResult, planned: CellIdentity | None) -> Iterator[str]:
    if found := problem_of_id(result.id):
        yield found
    if planned is not None and result.identity == planned:
        yield from impossible_values(msgspec.structs.replace(result, identity=_NOTHING), "")
    else:
        yield from impossible_values(result, "")
        yield from _problems_of_identity(result.identity)
    best = result.best
    if best is not None and all(estimate.metric != best.metric for estimate in best.estimates):
        yield f"best.estimates has no value of best.metric, {_short(best.metric)}"
    if result.sampling and not {"weights", "batch_norm"} <= result.sampling.keys():
        yield "sampling does not state both weights and batch_norm"


def _problems_of_planned_cell(planned: PlannedCell, known: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield what is impossible; `known` holds the parts of its identity to leave out, each None."""
    if found := problem_of_id(planned.id):
        yield found
    identity = msgspec.structs.replace(planned.identity, **known) if known else planned.identity
    yield from impossible_values(msgspec.structs.replace(planned, identity=identity), "")
    yield from _problems_of_identity(identity)


def _problems_of_references(result: ReferenceResult) -> Iterator[str]:
    if found := problem_of_id(result.id):
        yield found
    yield from impossible_values(result, "")
    yield from _problems_of_shape(result.image_shape, "image_shape")


def _problems_of_plan(record: RunRecord) -> Iterator[str]:
    yield from impossible_values(msgspec.structs.replace(record, cells=[]), "")
    for number, planned in enumerate(record.references):
        if found := problem_of_id(planned.id):
            yield f"references.{number}.id: {found}"
        yield from _problems_of_shape(planned.image_shape, f"references.{number}.image_shape")
    for number, race in enumerate(record.races):
        if len(race.candidates) < 2 or min(len(race.seeds), race.most_seeds) < 3 or not 0 < race.error <= 0.2:
            yield f"races.{number} has nothing to decide"
        if any(len(candidate.cells) != len(race.seeds) for candidate in race.candidates):
            yield f"races.{number} has a candidate without a cell for each seed"
        if len({candidate.name for candidate in race.candidates}) < len(race.candidates):
            yield f"races.{number} has two candidates of one name"
    for name in ("timeout", "memory_limit", "threads"):
        value = getattr(record, name)
        if value is not None and value < 0:
            yield f"{name} is {value}, which is negative"
    if "\0" in record.directory:
        yield "directory contains a NUL character"


def _problems_of_race(race: RaceRecord, planned: RunRecord) -> Iterator[str]:
    yield from impossible_values(race, "")
    for number, cell in enumerate(race.added):
        yield from (f"added.{number}: {problem}" for problem in _problems_of_planned_cell(cell))
    known = {cell.id for cell in planned.cells}
    yield from (f"added.{n}: {_short(c.id)} is in the plan already" for n, c in enumerate(race.added) if c.id in known)
    if len(race.looks) != len(planned.races):
        yield f"it has {len(race.looks)} races, and the plan {len(planned.races)}"
        return
    for number, (looks, own) in enumerate(zip(race.looks, planned.races, strict=True)):
        names = {candidate.name for candidate in own.candidates}
        seeds = [look.seeds for look in looks]
        if seeds != sorted(set(seeds)):
            yield f"looks.{number} are not in the order of their seeds"
        for look in looks:
            named = {one.candidate for one in look.standings} | {drop.candidate for drop in look.drops}
            if unknown := sorted(named - names):
                yield f"looks.{number} names {_short(unknown[0])}, which is no candidate"


def _problems_of_identity(identity: CellIdentity) -> Iterator[str]:
    yield from _problems_of_shape(identity.image_shape, "identity.image_shape")
    for kind in ("model", "family", "loss", "dataset"):
        choice = getattr(identity, kind)
        if choice is not _NOTHING and not choice.name:
            yield f"identity.{kind}.name is empty"
    for name in _REQUIRED_SETTINGS if identity.recipe is not _NOTHING else ():
        if name not in identity.recipe:
            yield f"identity.recipe has no {name}"
    for name, value in (identity.recipe or {}).items():
        if name in _RECIPE:
            check: Any = _problem_of_setting.__wrapped__ if isinstance(value, list) else _problem_of_setting
            if problem := check(name, value):
                yield problem


@lru_cache(maxsize=10_000, typed=True)  # the cells of a plan have most of their settings in common
def _problem_of_setting(name: str, value: object) -> str:
    renamed = RENAMED.get(name, {})
    try:
        _RECIPE[name].check(renamed.get(value, value) if isinstance(value, str) else value, "identity.recipe")
    except UsageError as error:
        return _short(error.cause.removesuffix("."), 200, quoted=False)
    return ""


def _problems_of_shape(shape: tuple[int, ...], where: str) -> Iterator[str]:
    if not all(0 < side <= LARGEST_SIDE for side in shape):
        yield f"{where} is {_short(list(shape))}: each side is from 1 to {LARGEST_SIDE:,}"


def impossible_values(value: object, where: str = "", free: bool = False, depth: int = 0) -> Iterator[str]:
    """Yield each number that no genbench writes, with its place; where `free`, numbers may have any sign."""
    name = where.rpartition(".")[2]
    if _is_possible(value, name, free, depth):
        return
    if depth > _DEEPEST:
        yield f"{_short(where, 200, quoted=False)} is nested more than {_DEEPEST} levels deep"
    elif isinstance(value, int | float):
        yield f"{where} is {_fault_of_number(value, name, free)}"
    else:
        for key, item in _parts(value):
            yield from impossible_values(item, f"{where}.{key}".lstrip("."), free or key in _FREE, depth + 1)


def _is_possible(value: object, name: str, free: bool, depth: int) -> bool:
    """Say whether `impossible_values` has nothing to say, without composing the places of thousands of values."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, int | float):
        return isinstance(value, bool) or not _fault_of_number(value, name, free)
    for key, item in _items(value):
        kind = type(item)
        if kind is str or not item or item is True or (kind in _NUMBERS and 0 <= item <= LARGEST_INTEGER):
            continue  # nearly all values: possible under every name
        if kind is list:
            inside = type(item[0])
            if inside in _DECODED or (inside is Estimate and _are_possible_estimates(item)):
                continue
        if not _is_possible(item, str(key).rpartition(".")[2], free or key in _FREE, depth + 1):
            return False
    return True


def _items(value: object) -> Iterable[tuple[Any, Any]]:
    """Return the parts of a value with their names, not yet shortened."""
    if isinstance(value, Record):
        return zip(value.__struct_fields__, msgspec.structs.astuple(value), strict=True)
    return value.items() if isinstance(value, dict) else _parts(value)


# The decoder has checked the numbers in lists of these, which make up nearly all of a result.
_DECODED = frozenset({Window, CurvePoint, TrainingFrame})


def _are_possible_estimates(estimates: Sequence[Estimate]) -> bool:
    signed = [number for one in estimates for number in (one.value, one.debiased, one.null) if number is not None]
    others = [number for one in estimates for number in (one.n, one.standard_error) if number is not None]
    free = [value for one in estimates for value in one.protocol.values() if not isinstance(value, str)]
    return _lie_between(-LARGEST_INTEGER, [*signed, *free]) and _lie_between(0, others)


def _lie_between(smallest: float, numbers: Sequence[float]) -> bool:
    """Say whether numbers are finite, no smaller than that, and small enough to be a number of any kind."""
    return not numbers or (smallest <= min(numbers) and max(numbers) <= LARGEST_INTEGER and math.isfinite(sum(numbers)))


_NUMBERS = frozenset({int, float})


def _fault_of_number(value: int | float, name: str, free: bool) -> str:
    """Return what is wrong with a number, or an empty string."""
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            return "an integer of more than 63 bits"
        return f"{value}, which is negative" if value < 0 and not free and name not in _SIGNED else ""
    if not math.isfinite(value) or (abs(value) > LARGEST_NUMBER and name not in _MARKS_FAILURE):
        return f"{value:g}, which is not a possible value"
    return f"{value:g}, which is negative" if value < 0 and not free and name in _NOT_NEGATIVE else ""


def _parts(value: object) -> list[tuple[str, Any]]:
    if isinstance(value, Record):
        return [(name, getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return [(_short(key, 60, quoted=False), item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [(str(number), item) for number, item in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return [(one.name, getattr(value, one.name)) for one in dataclasses.fields(value)]
    return []


def _short(value: object, longest: int = 60, quoted: bool = True) -> str:
    text = repr(value) if quoted else str(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
