"""What a user asks for: flags and TOML files, under the same names, as one record."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA, RENAMED
from genbench.errors import UsageError, near_miss

DEFAULT_MODELS = ("dcgan", "dcgan-vae", "gan", "vae")  # the first two have networks of the same shape
DEFAULT_DATASET = "fashion-mnist-mini"


@dataclass(frozen=True)
class Variant:
    """What one variant of a plan changes."""

    recipe: dict[str, OptionValue] = field(default_factory=dict)
    set: dict[str, dict[str, OptionValue]] = field(default_factory=dict)  # of models and losses


@dataclass(frozen=True)
class Request:
    """One field per flag of `genbench run`; the keys of a TOML plan have the same names."""

    models: tuple[str, ...] = DEFAULT_MODELS
    losses: tuple[str, ...] = ()  # none: each model's default
    datasets: tuple[str, ...] = (DEFAULT_DATASET,)
    seeds: tuple[int, ...] = (0,)
    precision: tuple[str, ...] = ()  # one cell for each; none: as the recipe says
    nproc: tuple[int, ...] = ()  # likewise
    metrics: tuple[str, ...] | None = None  # None: the default ones; empty: none
    target: tuple[tuple[str, float], ...] = ()  # metrics with the values to be reached
    device: str = "auto"
    profile: str = "quick"
    plugins: tuple[str, ...] = ()  # files
    reporters: tuple[str, ...] = ()
    out: str | None = None
    timeout: float | None = None  # seconds per cell; None: the profile's; 0: no limit
    memory_limit: float | None = None  # GiB per cell
    threads: int | None = None
    rdzv_backend: str = "c10d"  # where processes of several machines find each other, in torchrun's words
    rdzv_endpoint: str | None = None
    rdzv_id: str = "genbench"
    weights: str | None = None  # the file of the Inception weights
    recipe: dict[str, OptionValue] = field(default_factory=dict)  # only what was given
    variants: dict[str, Variant] = field(default_factory=dict)  # by name: what is laid over `recipe` and `set`
    set: dict[str, dict[str, OptionValue]] = field(default_factory=dict)  # name -> option -> value


_LISTS = ("models", "losses", "datasets", "metrics", "plugins", "reporters")
_NUMBERS = ("timeout", "memory_limit", "threads")
_KEYS = (
    *_LISTS,
    "seeds",
    "target",
    "device",
    "profile",
    "out",
    "weights",
    "rdzv_backend",
    "rdzv_endpoint",
    "rdzv_id",
    *_NUMBERS,
    "set",
    "variants",
    *RECIPE_FIELDS,
)
_FIELDS = {option.name: option for option in RECIPE_SCHEMA}


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the keys of a TOML plan, named as the fields of `Request` and `Recipe`; raise `UsageError`."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    given: dict[str, Any] = {}
    for written, value in data.items():
        if written == "gate":  # limits, which `genbench check` reads from the same file
            continue
        key = written.replace("-", "_")
        if key not in _KEYS:
            raise UsageError(f"{path}: unknown key '{written}'.{near_miss(key, _KEYS)}", f"Keys: {', '.join(_KEYS)}.")
        given[key] = value
    return given


def make_request(given: Mapping[str, Any], settings: Sequence[str] = ()) -> Request:
    """Build a request from flags or TOML keys (None means: not given) and `--set NAME.option=value` settings."""
    values: dict[str, Any] = {}
    recipe: dict[str, OptionValue] = {}
    options: dict[str, dict[str, OptionValue]] = {}
    for key, value in given.items():
        if value is None:
            continue
        if key == "precision":
            values[key] = tuple(str(_FIELDS[key].check(name, "recipe")) for name in _names(key, value))
        elif key == "nproc":
            values[key] = tuple(int(_FIELDS[key].check(count, "recipe")) for count in _counts(value))  # type: ignore[arg-type]
        elif key in _FIELDS:
            recipe[key] = _recipe_value(key, value, "recipe")
        elif key == "variants":
            values[key] = _variants(value)
        elif key == "set":
            _add_tables(options, value)
        elif key in _LISTS:
            names = _names(key, value)
            values[key] = () if key in ("metrics", "reporters") and names == ("none",) else names
        elif key == "target":
            values[key] = tuple(parse_target(text) for text in _names(key, value))
        elif key == "seeds":
            values[key] = _seeds(value)
        elif key in _NUMBERS:
            values[key] = _number(key, value)
        elif key in ("device", "profile", "out", "weights", "rdzv_backend", "rdzv_endpoint", "rdzv_id"):
            if not isinstance(value, str):
                raise UsageError(f"{key} must be text, not {value!r}.")
            values[key] = value
        else:
            raise UsageError(f"Unknown key '{key}'.{near_miss(key, _KEYS)}")
    for setting in settings:
        name, option, chosen = parse_setting(setting)
        options.setdefault(name, {})[option] = chosen
    return Request(**values, recipe=recipe, set=options)


def parse_setting(setting: str) -> tuple[str, str, OptionValue]:
    """Split ``NAME.option=value``; the value is read as TOML (``64``, ``true``, ``[1, 2]``), else as plain text."""
    target, equals, text = setting.partition("=")
    name, dot, option = target.strip().rpartition(".")
    if not (equals and dot and name and option):
        raise UsageError(
            f"--set {setting} cannot be read.", "Write --set NAME.option=value, for example dcgan.width=32."
        )
    return name, option.replace("-", "_"), parse_value(text)


def parse_target(text: str) -> tuple[str, float]:
    """Split ``METRIC=VALUE``, the value a finite number."""
    metric, _, written = text.partition("=")
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not (metric.strip() and math.isfinite(value)):
        raise UsageError(f"target '{text}' cannot be read.", "Write METRIC=VALUE, for example fd-fashion-cnn=40.")
    return metric.strip(), value


def parse_value(text: str) -> OptionValue:
    """Read a value as TOML, else take the text as it stands."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    value: OptionValue = read["value"]
    return value if len(read) == 1 and isinstance(value, bool | int | float | str | list) else text.strip()


def _add_tables(options: dict[str, dict[str, OptionValue]], tables: object) -> None:
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise UsageError("'set' must hold one table per name.", "Write [set.dcgan] and below it: width = 32.")
    for name, table in tables.items():
        for option, value in table.items():
            options.setdefault(name, {})[option.replace("-", "_")] = value


def _variants(tables: object) -> dict[str, Variant]:
    how = "Write [variants.averaged] and below it: ema_half_life = 10000."
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise UsageError("'variants' must hold one table per name.", how)
    found: dict[str, Variant] = {}
    for name, table in tables.items():
        if not (isinstance(name, str) and name.strip()):
            raise UsageError(f"A variant cannot be called {name!r}.", how)
        variant = found.setdefault(name, Variant())
        for written, value in table.items():
            key = str(written).replace("-", "_")
            if key == "set":
                _add_tables(variant.set, value)
            elif key in _FIELDS:
                variant.recipe[key] = _recipe_value(key, value, f"variants.{name}")
            else:
                cause = f"variants.{name}.{written} is no field of the recipe.{near_miss(key, [*RECIPE_FIELDS, 'set'])}"
                raise UsageError(cause, f"A variant holds recipe fields and `set`: {', '.join(RECIPE_FIELDS)}.")
    return found


def _recipe_value(key: str, value: object, owner: str) -> OptionValue:
    several = _FIELDS[key].type.startswith("list") and isinstance(value, str)
    if isinstance(value, str) and value in RENAMED.get(key, {}):
        raise UsageError(f"{owner}.{key} = '{value}' has another name now.", f"Write {RENAMED[key][value]}.")
    return _FIELDS[key].check(list(_names(key, value)) if several else value, owner)


def _names(key: str, value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{key} must be names, not {value!r}.", f'Write {key} = ["a", "b"].')
    names = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not names and key in ("models", "datasets"):
        raise UsageError(f"{key} is empty.", f"Name at least one; see `genbench list {key}`.")
    return names


def _counts(value: object) -> list[Any]:
    """Return whole numbers that were given as text, with commas, or as they are; what is none is left for a check."""
    parts: list[Any] = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    numbers = [int(part) if isinstance(part, str) and part.strip().isdigit() else part for part in parts]
    return list(dict.fromkeys(numbers))


def _seeds(value: object) -> tuple[int, ...]:
    parts: list[Any] = (
        value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    )
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in parts))
    except (TypeError, ValueError):
        seeds = ()
    odd = any(isinstance(part, bool | float) for part in parts)
    if not seeds or odd or min(seeds) < 0 or max(seeds) >= 2**31:
        raise UsageError(f"seeds = {value!r} cannot be read.", "Write whole numbers from 0, such as --seeds 0,1,2.")
    return seeds


def _number(key: str, value: object) -> float | int:
    allowed = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if key == "threads":
        allowed = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not allowed:
        what = "whole number from 1" if key == "threads" else "number from 0"
        raise UsageError(f"{key} = {value!r} is not a {what}.")
    return value  # type: ignore[return-value]
