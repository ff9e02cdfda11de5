"""Search spaces: which settings `genbench tune` tries, read from TOML and checked against recipe and options.

```toml
learning_rate = { low = 1e-5, high = 1e-2, log = true }  # every model
batch_size = { choices = [32, 64] }

[dcgan]                                                  # only this model, or the models with this loss
width = { low = 16, high = 64, step = 16 }
```
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from genbench.api.options import Option, OptionValue
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA
from genbench.api.specs import ConfigurableSpec, LossSpec, ModelSpec
from genbench.errors import UsageError, near_miss
from genbench.planning.settings import Settings
from genbench.planning.sweep import LATENT_DIM, unique
from genbench.results.input_files import read_toml

_BUDGET = "every model and every trial has the same budget; choose it with --images or --profile"
_MEASURED = "it changes what is measured, or after how many images training stops"
_EXECUTION = "it changes how a cell is executed, not what it learns"
NOT_TUNED: Mapping[str, str] = {
    "images": _BUDGET,
    "init_from": "weights that were trained before are a further budget",
    **dict.fromkeys(("samples", "evaluate_every", "best_metric", "patience"), _MEASURED),
    **dict.fromkeys(("engine", "step_tuning", "nproc", "nnodes", "input", "loader_workers"), _EXECUTION),
    **dict.fromkeys(("warmup_steps", "energy_seconds"), _EXECUTION),
}
_KEYS = ("low", "high", "log", "step", "choices")
_EXAMPLE = "Write {low = 1e-5, high = 1e-2, log = true} or {choices = [32, 64]}."


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float  # int for an integer option
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    @property
    def ends(self) -> tuple[OptionValue, ...]:
        """The values that stand for all of them in a check."""
        return self.low, self.high

    def __str__(self) -> str:
        how = ", log" if self.log else f", step {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} … {self.high:g}{how}"


@dataclass(frozen=True)
class Choices:
    """Some values."""

    values: tuple[OptionValue, ...]

    @property
    def ends(self) -> tuple[OptionValue, ...]:
        """All of them."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Values: TypeAlias = Range | Choices


@dataclass(frozen=True)
class Dimension:
    """One setting of a search space."""

    name: str  # as in tables: a recipe field, or OWNER.option
    owner: str  # with its kind, as ``model:dcgan``
    option: str
    values: Values


Space: TypeAlias = tuple[Dimension, ...]


def settings_of_point(space: Space, point: Mapping[str, OptionValue]) -> Settings:
    """Return the settings that these values, by the names of dimensions, mean."""
    found: dict[str, dict[str, OptionValue]] = {}
    for dimension in space:
        found.setdefault(dimension.owner, {})[dimension.option] = point[dimension.name]
    return found


def read_spaces(path: str | Path, pairs: Sequence[tuple[ModelSpec, LossSpec]]) -> dict[str, Space]:
    """Return the space of each model, by name, from a TOML file; see `make_spaces`."""
    return make_spaces(read_toml(Path(path)), pairs, str(path))


def make_spaces(given: Mapping[str, Any], pairs: Sequence[tuple[ModelSpec, LossSpec]], source: str) -> dict[str, Space]:
    """Return the space of each model, by name.

    Args:
        given: the content of the TOML file.
        pairs: the models, each with its loss.
        source: the name of the file, for errors.

    Raises `UsageError` for an unknown name or an invalid range, and for a model with nothing to tune.
    """
    common, tables = _divided(given, source)
    owners = {_qualified(spec): spec for pair in pairs for spec in pair}
    reached = {name: [owners[key] for key in _reached(name, owners, source)] for name in tables}
    found: dict[str, Space] = {}
    for model, loss in pairs:
        own = [_dimension(model, written, value, source) for written, value in common.items()]
        for name, table in tables.items():
            for spec in (model, loss):
                if spec in reached[name]:
                    own += _of_table(spec, name, table, reached[name], source)
        if not own:
            raise UsageError(
                f"{source} has nothing to tune for the model '{model.name}'.",
                f"Add recipe fields, such as learning_rate, or a table [{model.name}].",
                code="GB110",
            )
        space = {
            (dimension.owner, dimension.option): dimension for dimension in own
        }  # a table overrides what is common
        found[model.name] = tuple(_named(space.values(), model, loss))
    return found


def _named(space: Iterable[Dimension], model: ModelSpec, loss: LossSpec) -> Iterator[Dimension]:
    """Yield dimensions whose names also state the kind where model and loss have the same name."""
    for dimension in space:
        alike = model.name == loss.name and "." in dimension.name
        yield replace(dimension, name=f"{dimension.owner}.{dimension.option}") if alike else dimension


def _divided(given: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]]]:
    """Return what concerns every model, and the tables of models and losses."""
    common: dict[str, Any] = {}
    tables: dict[str, Mapping[str, Any]] = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        if key in (*RECIPE_FIELDS, LATENT_DIM.name):
            common[key] = value
        elif isinstance(value, Mapping) and (
            not {*value} <= {*_KEYS} or all(isinstance(item, Mapping) for item in value.values())
        ):
            tables[name] = value
        else:
            raise UsageError(
                f"{source}: '{name}' is not a recipe field.{near_miss(key, RECIPE_FIELDS)}",
                "An option of a model or loss stands in its table: [dcgan], and below it width = {choices = [16, 32]}.",
                code="GB110",
            )
    return common, tables


def _reached(name: str, owners: Mapping[str, ConfigurableSpec], source: str) -> list[str]:
    """Return the qualified names that a table concerns; raise `UsageError` if there are none."""
    reached = [key for key in owners if name in (key, key.partition(":")[2])]
    if not reached:
        names = sorted({key.partition(":")[2] for key in owners})
        raise UsageError(
            f"{source}: '{name}' is neither a recipe field, nor a model or loss of this run."
            f"{near_miss(name, [*names, *RECIPE_FIELDS])}",
            f"Models and losses of this run: {', '.join(names)}. Options of datasets and metrics are not tuned.",
            code="GB110",
        )
    return reached


def _of_table(
    spec: ModelSpec | LossSpec, name: str, table: Mapping[str, Any], sharing: Sequence[ConfigurableSpec], source: str
) -> Iterator[Dimension]:
    """Yield what a table says about one of the specs that share its name."""
    known = _known(spec)
    others = {option for other in sharing if _qualified(other) != _qualified(spec) for option in _known(other)}
    for written, value in table.items():
        key = written.replace("-", "_")
        if key not in known and key in others:
            continue  # meant for the other one
        if key in known and key in others:
            raise UsageError(
                f"{source}: {name}.{written} is ambiguous: a model and a loss '{name}' have this option.",
                f'Write ["model:{name}"] or ["loss:{name}"].',
                code="GB110",
            )
        yield _dimension(spec, written, value, source)


def _dimension(spec: ModelSpec | LossSpec, written: str, value: object, source: str) -> Dimension:
    key, known, owner = written.replace("-", "_"), _known(spec), f"{source}: {spec.name}"
    if key not in known:
        has = ", ".join(sorted({*known} - {*NOT_TUNED}))
        raise UsageError(
            f"Unknown option {owner}.{written}.{near_miss(key, known)}",
            f"{spec.name} has: {has}." if has else f"{spec.name} has no options.",
            code="GB101",
        )
    shared = key in (*RECIPE_FIELDS, LATENT_DIM.name)
    if shared and key in NOT_TUNED:
        raise UsageError(
            f"{owner}.{key} cannot be tuned: {NOT_TUNED[key]}.", "Remove it from the search space.", code="GB110"
        )
    name = key if shared else f"{spec.name}.{key}"
    return Dimension(name, _qualified(spec), key, _values(known[key], value, owner))


def _values(option: Option, given: object, owner: str) -> Values:
    where = f"{owner}.{option.name}"
    if not isinstance(given, Mapping):
        raise UsageError(
            f"{where} = {given!r} is not a range.", f"{_EXAMPLE} A fixed value is a flag, or in --config.", code="GB110"
        )
    for key in given:
        if key not in _KEYS:
            raise UsageError(
                f"{where} has the unknown key '{key}'.{near_miss(str(key), _KEYS)}", _EXAMPLE, code="GB110"
            )
    return _choices(option, given, owner) if "choices" in given else _range(option, given, owner)


def _choices(option: Option, given: Mapping[str, Any], owner: str) -> Choices:
    where, values = f"{owner}.{option.name}", given["choices"]
    if len(given) > 1:
        raise UsageError(f"{where} has choices and a range.", _EXAMPLE, code="GB110")
    if not isinstance(values, list):
        raise UsageError(f"{where}: choices = {values!r} is not a list.", _EXAMPLE, code="GB110")
    checked = unique(option.check(value, owner) for value in values)
    if len(checked) < 2:
        raise UsageError(
            f"{where} has fewer than two different choices.", "A fixed value is a flag, or in --config.", code="GB110"
        )
    return Choices(tuple(checked))


def _range(option: Option, given: Mapping[str, Any], owner: str) -> Range:
    where = f"{owner}.{option.name}"
    if option.type not in ("int", "float"):
        raise UsageError(f"{where} has no range: it is {option.describe()}.", "Write {choices = [...]}.", code="GB110")
    for key in ("low", "high"):
        if key not in given:
            raise UsageError(f"{where} has no {key}.", _EXAMPLE, code="GB110")
    low, high = (_number(option, given[key], owner) for key in ("low", "high"))
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        raise UsageError(f"{where}: log = {log!r} is neither true nor false.", code="GB110")
    if not low < high:
        raise UsageError(f"{where}: low = {low:g} is not below high = {high:g}.", code="GB110")
    if log and (low <= 0 or step is not None):
        problem = "a logarithmic range begins above 0" if low <= 0 else "a logarithmic range has no step"
        raise UsageError(f"{where}: {problem}.", _EXAMPLE, code="GB110")
    size = None if step is None else _step(option, step, low, high, where)
    return Range(low, high, log, size, option.type == "int")


def _number(option: Option, value: object, owner: str) -> float:
    checked = option.check(value, owner)
    if not isinstance(checked, int | float) or isinstance(checked, bool):
        raise UsageError(f"{owner}.{option.name}: {value!r} is not a number.", _EXAMPLE, code="GB110")
    return checked


def _step(option: Option, step: object, low: float, high: float, where: str) -> float:
    whole = isinstance(step, int) and not isinstance(step, bool)
    if not (whole or (isinstance(step, float) and option.type == "float")) or not 0 < float(step) < math.inf:  # type: ignore[arg-type]
        raise UsageError(f"{where}: step = {step!r} is not a positive {option.type}.", code="GB110")
    size = float(step)  # type: ignore[arg-type]
    count = (high - low) / size
    if count < 1 or abs(count - round(count)) > 1e-9 * count:
        reached = low + max(1, math.floor(count)) * size
        raise UsageError(
            f"{where}: steps of {size:g} from {low:g} do not end at {high:g}.",
            f"For example, high = {reached:g}.",
            code="GB110",
        )
    return int(size) if option.type == "int" else size


def _known(spec: ConfigurableSpec) -> dict[str, Option]:
    """Return every option by name that a spec has, for a model also the recipe."""
    shared: Iterable[Option] = (*RECIPE_SCHEMA, LATENT_DIM) if isinstance(spec, ModelSpec) else ()
    return {option.name: option for option in (*shared, *spec.option_schema)}


def _qualified(spec: ConfigurableSpec) -> str:
    return f"{'model' if isinstance(spec, ModelSpec) else 'loss'}:{spec.name}"
