"""Sweeps: settings with several values, of which a plan has one cell for each combination."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from genbench.api.options import Option, OptionValue
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA
from genbench.api.specs import ConfigurableSpec, ModelSpec
from genbench.errors import UsageError, near_miss
from genbench.planning.settings import Settings
from genbench.planning.values import parse_value

MOST_CELLS = 10_000
MANY_CELLS = 100  # of more, the plan says how many there are and why
LATENT_DIM = Option("latent_dim", "int", 1, minimum=1)


@dataclass(frozen=True)
class Point:
    """One combination of the values of a sweep."""

    recipe: dict[str, OptionValue]
    settings: dict[str, dict[str, OptionValue]]  # name -> option -> value, of options that have several


Axes = Mapping[str, Sequence[OptionValue]]  # recipe field, or NAME.option -> values


def several_values(option: Option, value: object) -> list[Any] | None:
    """Return the values where a setting has several, else None.

    A list means several values, except for an option that is a list itself: there, a list of lists does. Text with
    commas means several numbers, yes and no, or choices; other text is taken as it is. Raises `UsageError` for an empty
    list.
    """
    is_list = option.type.startswith("list")
    if isinstance(value, list | tuple):
        if is_list and not (value and all(isinstance(item, list | tuple) for item in value)):
            return None
        if not value:
            raise UsageError(f"{option.name} = [] has no value.", "Give at least one, or leave it out.")
        return [list(item) if isinstance(item, tuple) else item for item in value]
    divisible = option.type in ("int", "float", "bool") or bool(option.choices)
    if isinstance(value, str) and "," in value and divisible:
        return [parse_value(part) for part in value.split(",") if part.strip()]
    return None


def split_settings(
    settings: Settings, specs: Iterable[ConfigurableSpec]
) -> tuple[dict[str, dict[str, OptionValue]], dict[str, list[OptionValue]]]:
    """Return the settings with one value, and those with several as axes named ``NAME.option``."""
    known = list(specs)
    single: dict[str, dict[str, OptionValue]] = {}
    axes: dict[str, list[OptionValue]] = {}
    for name, table in settings.items():
        single[name] = {}
        for option, value in table.items():
            described = _find_option(name, option, known)
            several = several_values(described, value) if described is not None else None
            if several is None:
                single[name][option] = value
            else:
                axes[f"{name}.{option}"] = unique(several)
    return single, axes


def points(axes: Axes, zipped: Sequence[Sequence[str]]) -> list[Point]:
    """Return every combination; the axes of each group in `zipped` go through their values together."""
    return [_point(dict(pair for part in parts for pair in part)) for parts in product(*_factors(axes, zipped))]


def sizes(axes: Axes, zipped: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the number of values of everything that is crossed, by its names."""
    return {" with ".join(name for name, _ in factor[0]): len(factor) for factor in _factors(axes, zipped)}


def moderate_size(parts: Mapping[str, int]) -> str:
    """Return a note on the number of cells, if it is large; `parts` are the sizes of what is crossed, by name.

    Raises `UsageError` for so many cells that planning them would take minutes.
    """
    count = math.prod(max(number, 1) for number in parts.values())
    shown = " × ".join(f"{number:,} {name}" for name, number in parts.items() if number > 1)
    if count > MOST_CELLS:
        raise UsageError(
            f"This plan has {count:,} cells: {shown}. The most is {MOST_CELLS:,}.",
            "Give fewer values, pair them with --zip, or split the plan into several runs.",
        )
    return f"this plan has {count:,} cells: {shown}" if count > MANY_CELLS else ""


def unique(values: Iterable[Any]) -> list[Any]:
    """Return the values in their order, each once."""
    return list({repr(value): value for value in values}.values())


def columns_of(axes: Axes) -> list[str]:
    """Return the names that tables have for axes with several values: a recipe field of one model has its own name."""
    found = []
    for name, values in axes.items():
        owner, _, option = name.rpartition(".")
        named = option if owner and option in (*RECIPE_FIELDS, "latent_dim") else name
        found += [named.rpartition(":")[2]] if len(values) > 1 else []
    return found


def _factors(axes: Axes, zipped: Sequence[Sequence[str]]) -> list[list[list[tuple[str, OptionValue]]]]:
    """Return what is crossed: the values of an axis, or of a group, each with the names."""
    group_of: dict[str, Sequence[str]] = {}
    for group in zipped:
        _require_group(group, axes)
        for name in group:
            if name in group_of:
                raise UsageError(f"--zip names '{name}' twice.", "Name each setting in one group.", code="GB104")
            group_of[name] = group
    factors: list[list[list[tuple[str, OptionValue]]]] = []
    done: set[str] = set()
    for name in axes:
        group = group_of.get(name, (name,))
        if name not in done:
            done.update(group)
            steps = zip(*(axes[member] for member in group), strict=True)
            factors.append([list(zip(group, values, strict=True)) for values in steps])
    return factors


def _require_group(group: Sequence[str], axes: Axes) -> None:
    for name in group:
        if name not in axes:
            raise UsageError(
                f"--zip {','.join(group)}: '{name}' has no list of values.{near_miss(name, axes)}",
                f"With several values: {', '.join(axes) or 'nothing'}.",
                code="GB104",
            )
    if len(group) < 2:
        raise UsageError(
            f"--zip {','.join(group)} names one setting only.", "Write --zip batch_size,learning_rate.", code="GB104"
        )
    lengths = [len(axes[name]) for name in group]
    if len({*lengths}) > 1:
        counts = ", ".join(f"{name} has {length}" for name, length in zip(group, lengths, strict=True))
        raise UsageError(
            f"--zip pairs lists of the same length, but {counts}.", "Give as many values to each.", code="GB104"
        )


def _point(values: Mapping[str, OptionValue]) -> Point:
    made = Point({}, {})
    for name, value in values.items():
        owner, dot, option = name.rpartition(".")
        if dot:
            made.settings.setdefault(owner, {})[option] = value
        else:
            made.recipe[name] = value
    return made


def _find_option(name: str, option: str, specs: Sequence[ConfigurableSpec]) -> Option | None:
    """Return what is known about an option; `name` may be qualified by its kind, as ``model:dcgan``."""
    bare = name.rpartition(":")[2]
    for spec in specs:
        if bare == spec.name:
            shared = (*RECIPE_SCHEMA, LATENT_DIM) if isinstance(spec, ModelSpec) else ()
            for described in (*spec.option_schema, *shared):
                if described.name == option:
                    return described
    return None
