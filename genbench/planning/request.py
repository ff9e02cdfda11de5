"""Requests: what a user asks for with flags and TOML files, which use the same names, as one record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA, RENAMED
from genbench.errors import UsageError, near_miss
from genbench.planning.race_request import RaceRequest, parse_race
from genbench.planning.settings import merged
from genbench.planning.sweep import several_values, unique
from genbench.planning.values import parse_value
from genbench.results.input_files import read_toml

DEFAULT_MODELS = ("dcgan", "dcgan-vae", "gan", "vae")  # dcgan and dcgan-vae have networks of the same shape
DEFAULT_DATASET = "fashion-mnist-mini"


@dataclass(frozen=True)
class Variant:
    """The changes that one variant of a plan makes."""

    recipe: dict[str, OptionValue] = field(default_factory=dict)
    set: dict[str, dict[str, OptionValue]] = field(default_factory=dict)  # of models and losses


@dataclass(frozen=True)
class Request:
    """One field per flag of `genbench run`; the keys of a TOML plan have the same names."""

    models: tuple[str, ...] = DEFAULT_MODELS
    losses: tuple[str, ...] = ()  # empty: each model's default
    datasets: tuple[str, ...] = (DEFAULT_DATASET,)
    seeds: tuple[int, ...] = (0,)
    precision: tuple[str, ...] = ()  # one cell for each; empty: as in the recipe
    nproc: tuple[int, ...] = ()  # one cell for each; empty: as in the recipe
    metrics: tuple[str, ...] | None = None  # None: the default ones; empty: none
    samplers: tuple[str, ...] = ()  # NAME:option=value:…, in addition to each family's own way of drawing images
    target: tuple[tuple[str, float], ...] = ()  # metrics and the values to reach
    race: RaceRequest | None = None  # drops cells that are surely not the best
    device: str = "auto"
    profile: str = "quick"
    plugins: tuple[str, ...] = ()  # plugin files
    reporters: tuple[str, ...] = ()
    executor: str = "local"
    out: str | None = None
    timeout: float | None = None  # seconds per cell; None: the profile's; 0: no limit
    memory_limit: float | None = None  # GiB per cell
    threads: int | None = None
    rdzv_endpoint: str | None = None
    rdzv_id: str = "genbench"
    weights: str | None = None  # path of the Inception weights
    recipe: dict[str, OptionValue] = field(default_factory=dict)  # only the given fields
    sweep: dict[str, tuple[OptionValue, ...]] = field(
        default_factory=dict
    )  # fields with several values: cells for each
    zip: tuple[tuple[str, ...], ...] = ()  # groups of settings whose values are paired instead of crossed
    variants: dict[str, Variant] = field(default_factory=dict)  # by name: overrides of `recipe` and `set`
    set: dict[str, dict[str, OptionValue]] = field(default_factory=dict)  # name or kind:name -> option -> value


_LISTS = ("models", "losses", "datasets", "metrics", "samplers", "plugins", "reporters")
_NUMBERS = ("timeout", "memory_limit", "threads")
_OF_LOCAL = ("parallel", "devices", "timing")  # options of the executor `local` that have a flag
_KEYS = (
    *_LISTS,
    "seeds",
    "target",
    "race",
    "device",
    "executor",
    "profile",
    "out",
    "weights",
    "rdzv_endpoint",
    "rdzv_id",
    *_NUMBERS,
    *_OF_LOCAL,
    "set",
    "variants",
    "zip",
    *RECIPE_FIELDS,
)
_FIELDS = {option.name: option for option in RECIPE_SCHEMA}


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the keys of a TOML plan, named like the fields of `Request` and `Recipe`; raise `UsageError`."""
    data = read_toml(Path(path))
    given: dict[str, Any] = {}
    for written, value in data.items():
        if written == "gate":  # for `genbench check`, which reads the same file
            continue
        key = written.replace("-", "_")
        if key not in _KEYS:
            raise UsageError(
                f"{path}: unknown key '{written}'.{near_miss(key, _KEYS)}", f"Keys: {', '.join(_KEYS)}.", code="GB105"
            )
        given[key] = value
    return given


def make_request(given: Mapping[str, Any], settings: Sequence[str] = ()) -> Request:
    """Build a request from flags or TOML keys (None: not given) and `--set NAME.option=value` settings."""
    values: dict[str, Any] = {}
    recipe: dict[str, OptionValue] = {}
    sweep: dict[str, tuple[OptionValue, ...]] = {}
    options: dict[str, dict[str, OptionValue]] = {}
    own: dict[str, OptionValue] = {}  # of the executor `local`
    for key, value in given.items():
        if value is None:
            continue
        if key == "precision":
            values[key] = tuple(str(_FIELDS[key].check(name, "recipe")) for name in _names(key, value))
        elif key == "nproc":
            values[key] = tuple(int(_FIELDS[key].check(count, "recipe")) for count in _process_counts(value))  # type: ignore[arg-type]
        elif key in _FIELDS:
            several = several_values(_FIELDS[key], value)
            if several is None:
                recipe[key] = _recipe_value(key, value, "recipe")
            else:
                sweep[key] = tuple(unique(_recipe_value(key, one, "recipe") for one in several))
        elif key == "variants":
            values[key] = _variants(value)
        elif key == "set":
            _add_tables(options, value)
        elif key in _OF_LOCAL:
            own[key] = list(_names(key, value)) if key == "devices" else value
        elif key in _LISTS:
            names = _names(key, value)
            values[key] = () if key in ("metrics", "reporters") and names == ("none",) else names
        elif key == "target":
            values[key] = tuple(parse_target(text) for text in _names(key, value))
        elif key == "zip":
            values[key] = _groups(value)
        elif key == "seeds":
            values[key] = _seeds(value)
        elif key in _NUMBERS:
            values[key] = _number(key, value)
        elif key in ("race", "device", "executor", "profile", "out", "weights", "rdzv_endpoint", "rdzv_id"):
            if not isinstance(value, str):
                raise UsageError(f"{key} must be text, not {value!r}.")
            values[key] = parse_race(value) if key == "race" else value
        else:
            raise UsageError(f"Unknown key '{key}'.{near_miss(key, _KEYS)}", code="GB105")
    flags: dict[str, dict[str, OptionValue]] = {}
    for setting in settings:
        name, option, chosen = parse_setting(setting)
        flags.setdefault(name, {})[option] = chosen
    if own:
        flags["local"] = own | flags.get("local", {})
        _check_local(values, own)
    return Request(**values, recipe=recipe, sweep=sweep, set=merged(options, flags))


def _check_local(values: dict[str, Any], own: Mapping[str, OptionValue]) -> None:
    """Raise `UsageError` where options of `local` do not fit the request; the first of its devices names their type."""
    flag = f"--{min(own)}"
    executor = values.get("executor", "local")
    if executor != "local":
        raise UsageError(
            f"{flag} is an option of the executor 'local', not of '{executor}'.", f"Remove {flag}.", code="GB104"
        )
    devices = own.get("devices")
    if not isinstance(devices, list) or not devices:
        return
    kinds = sorted({str(device).partition(":")[0] for device in devices})
    if len(kinds) > 1:
        raise UsageError(
            f"--devices has devices of different types: {', '.join(kinds)}.",
            "Make one run for each type.",
            code="GB104",
        )
    if values.get("device", "auto") not in ("auto", kinds[0], devices[0]):
        raise UsageError(f"--device {values['device']} is not among --devices.", "Remove --device.", code="GB104")
    values["device"] = devices[0]


def parse_setting(setting: str) -> tuple[str, str, OptionValue]:
    """Split ``NAME.option=value`` or ``KIND:NAME.option=value``.

    The value is read as TOML (``64``, ``true``, ``[1, 2]``), else as plain text.
    """
    target, equals, text = setting.partition("=")
    name, dot, option = target.strip().rpartition(".")
    if not (equals and dot and name and option):
        raise UsageError(f"--set {setting} is not valid.", "Write --set NAME.option=value, for example dcgan.width=32.")
    return name, option.replace("-", "_"), parse_value(text)


def parse_target(text: str) -> tuple[str, float]:
    """Split ``METRIC=VALUE``, where VALUE is a finite number."""
    metric, _, written = text.partition("=")
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not (metric.strip() and math.isfinite(value)):
        raise UsageError(f"target '{text}' is not valid.", "Write METRIC=VALUE, for example fd-fashion-cnn=40.")
    return metric.strip(), value


def _add_tables(options: dict[str, dict[str, OptionValue]], tables: object) -> None:
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise UsageError(
            "'set' must contain one table per name.", "Write [set.dcgan], and below it: width = 32.", code="GB105"
        )
    for name, table in tables.items():
        for option, value in table.items():
            options.setdefault(name, {})[option.replace("-", "_")] = value


def _variants(tables: object) -> dict[str, Variant]:
    example = "Write [variants.averaged], and below it: ema_half_life = 10000."
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        raise UsageError("'variants' must contain one table per name.", example, code="GB105")
    found: dict[str, Variant] = {}
    for name, table in tables.items():
        if not (isinstance(name, str) and name.strip()):
            raise UsageError(f"A variant cannot be named {name!r}.", example, code="GB105")
        variant = found.setdefault(name, Variant())
        for written, value in table.items():
            key = str(written).replace("-", "_")
            if key == "set":
                _add_tables(variant.set, value)
            elif key in _FIELDS:
                variant.recipe[key] = _recipe_value(key, value, f"variants.{name}")
            else:
                suggestion = near_miss(key, [*RECIPE_FIELDS, "set"])
                raise UsageError(
                    f"variants.{name}.{written} is not a recipe field.{suggestion}",
                    f"A variant contains recipe fields and `set`: {', '.join(RECIPE_FIELDS)}.",
                    code="GB105",
                )
    return found


def _recipe_value(key: str, value: object, owner: str) -> OptionValue:
    is_list = _FIELDS[key].type.startswith("list") and isinstance(value, str)
    if isinstance(value, str) and value in RENAMED.get(key, {}):
        raise UsageError(f"{owner}.{key} = '{value}' has been renamed.", f"Write {RENAMED[key][value]}.", code="GB105")
    return _FIELDS[key].check(list(_names(key, value)) if is_list else value, owner)


def _names(key: str, value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{key} must be a list of names, not {value!r}.", f'Write {key} = ["a", "b"].')
    names = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not names and key in ("models", "datasets"):
        raise UsageError(f"{key} is empty.", f"Name at least one; see `genbench list {key}`.")
    return names


def _groups(value: object) -> tuple[tuple[str, ...], ...]:
    """Return groups of names: of texts with commas, of one list of names, or of a list of such lists."""
    parts = [value] if isinstance(value, str) else value
    if isinstance(parts, list | tuple) and parts and all(isinstance(p, str) and "," not in p for p in parts):
        parts = [parts]
    if not isinstance(parts, list | tuple):
        raise UsageError(f"zip = {value!r} is not a list of names.", 'Write zip = ["batch_size", "learning_rate"].')
    return tuple(tuple(_setting_name(name) for name in _names("zip", part)) for part in parts)


def _setting_name(text: str) -> str:
    owner, dot, option = text.rpartition(".")
    return f"{owner}{dot}{option.replace('-', '_')}"


def _process_counts(value: object) -> list[Any]:
    """Parse integers given as a number, a list, or comma-separated text; leave other values for the type check."""
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
    wrong_type = any(isinstance(part, bool | float) for part in parts)
    if not seeds or wrong_type or min(seeds) < 0 or max(seeds) >= 2**31:
        raise UsageError(f"seeds = {value!r} is not valid.", "Write non-negative integers, such as --seeds 0,1,2.")
    return seeds


def _number(key: str, value: object) -> float | int:
    allowed = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if key == "threads":
        allowed = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not allowed:
        what = "positive integer" if key == "threads" else "non-negative number"
        raise UsageError(f"{key} = {value!r} is not a {what}.")
    return value  # type: ignore[return-value]
