"""Typed, documented options of models, losses, datasets, metrics, reporters and executors.

A plugin author writes a frozen dataclass whose fields are declared with `option`; everything else (types, ranges,
defaults, help, suggestions for typos) is derived from it. The derived `Option` records are plain data, so they can be
checked and listed without importing the plugin.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from genbench.errors import SpecError, UsageError, near_miss

OptionValue: TypeAlias = bool | int | float | str | list[Any] | None  # lists of int, float or str
TypeName = Literal["bool", "int", "float", "str", "list[int]", "list[float]", "list[str]"]

_TYPES: dict[TypeName, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "list[int]": list[int],
    "list[float]": list[float],
    "list[str]": list[str],
}


@dataclass(frozen=True)
class Option:
    """One option as plain data."""

    name: str
    type: TypeName
    default: OptionValue
    help: str = ""
    minimum: float | None = None  # inclusive
    maximum: float | None = None  # inclusive
    choices: tuple[str, ...] = ()
    optional: bool = False  # None is allowed
    folder: bool = False  # it names a folder, which must exist when a plan is made; empty: no folder
    unused_with: Mapping[str, list[OptionValue]] = field(
        default_factory=dict
    )  # other option -> values that disable this one

    def check(self, value: object, owner: str) -> OptionValue:
        """Return `value` converted to this option's type; raise `UsageError` with owner, option and allowed values.

        For an option that may be None, the text ``none`` means that: flags and TOML have no other way to say it.
        """
        where = f"{owner}.{self.name}"
        if self.optional and (value is None or (value == "none" and "none" not in self.choices)):
            return None
        try:
            checked: OptionValue = msgspec.convert(value, _TYPES[self.type])
        except (msgspec.ValidationError, OverflowError, SystemError):  # the last from msgspec before 0.22, for 10**400
            raise UsageError(
                f"{where} = {value!r} is not of type {self.type}.", f"{where} is {self.describe()}."
            ) from None
        if self.choices and checked not in self.choices:
            raise UsageError(
                f"{where} = {value!r} is not one of {', '.join(self.choices)}.{near_miss(str(value), self.choices)}",
            )
        for item in checked if isinstance(checked, list) else [checked]:
            if isinstance(item, str) and not _is_unicode(item):
                raise UsageError(f"{where} = {value!r} is not valid Unicode.", "Rename the file or folder.")
            if isinstance(item, int | float) and not isinstance(item, bool) and not self._allows(item):
                raise UsageError(f"{where} = {value!r} is out of range.", f"{where} is {self.describe()}.")
        return checked

    def _allows(self, number: int | float) -> bool:
        # Results are JSON: no NaN, no infinity, and only integers that every reader can hold.
        storable = math.isfinite(number) if isinstance(number, float) else abs(number) < 2**63
        low_enough = self.maximum is None or number <= self.maximum
        return storable and low_enough and (self.minimum is None or number >= self.minimum)

    def describe(self) -> str:
        """Return type, range and default in one phrase."""
        low = "" if self.minimum is None else f" ≥ {self.minimum:g}"
        high = "" if self.maximum is None else f" ≤ {self.maximum:g}"
        what = f"one of {', '.join(self.choices)}" if self.choices else f"{self.type}{low}{high}"
        return f"{what} (default {self.default!r}){': ' + self.help if self.help else ''}"


def option(
    default: Any,
    help: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    folder: bool = False,
    unused_with: Mapping[str, Sequence[OptionValue]] | None = None,
) -> Any:
    """Declare one option of a plugin: a dataclass field with its default, one line of help and inclusive bounds.

    Args:
        default: its value if the user sets none.
        help: one line.
        minimum: inclusive.
        maximum: inclusive.
        folder: the text names a folder, which must exist when a plan is made; an empty text names none.
        unused_with: other options, each with the values that make this one have no effect; a user who sets it anyway
            gets a note.
    """
    idle = {name: list(values) for name, values in (unused_with or {}).items()}
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "folder": folder, "unused_with": idle}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def describe_options(options: type | None) -> tuple[Option, ...]:
    """Derive the `Option` records from a dataclass; raise `SpecError` if a field breaks the contract."""
    if options is None:
        return ()
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        raise SpecError(f"options must be a dataclass, not {options!r}.", "Decorate it with @dataclass(frozen=True).")
    hints = typing.get_type_hints(options)
    schema = tuple(_describe_field(field, hints[field.name]) for field in dataclasses.fields(options))
    names = {option.name for option in schema}
    for option in schema:
        unknown = set(option.unused_with) - names
        if unknown:
            raise SpecError(f"option '{option.name}' has unused_with '{min(unknown)}', which is not another option.")
        if option.folder and option.type != "str":
            raise SpecError(f"option '{option.name}' has type {option.type} and cannot name a folder.")
    return schema


def resolve_options(schema: tuple[Option, ...], given: Mapping[str, object], owner: str) -> dict[str, OptionValue]:
    """Return every option's value: checked if given, else the default. Raises `UsageError` for an unknown name."""
    known = {option.name: option for option in schema}
    for name in given:
        if name not in known:
            listing = f"{owner} has: {', '.join(sorted(known))}." if known else f"{owner} has no options."
            raise UsageError(f"Unknown option {owner}.{name}.{near_miss(name, known)}", listing, code="GB101")
    return {name: opt.check(given.get(name, opt.default), owner) for name, opt in known.items()}


def named_options(chosen: Iterable[tuple[str, str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return options named after what has them: ``gan.width``, or with the kind if two have one: ``loss:gan.width``.

    Args:
        chosen: kind, name and option values of each thing that a cell consists of.
    """
    chosen = list(chosen)
    counts = Counter(f"{name}.{option}" for _, name, values in chosen for option in values)
    found: dict[str, Any] = {}
    for kind, name, values in chosen:
        for option, value in values.items():
            key = f"{name}.{option}"
            found[key if counts[key] == 1 else f"{kind}:{key}"] = value
    return found


def options_without_effect(schema: tuple[Option, ...], given: Mapping[str, OptionValue], owner: str) -> list[str]:
    """Return a note on each option that was changed from its default but has no effect with the others' values."""
    values = {option.name: given.get(option.name, option.default) for option in schema}
    return [
        f"{owner}.{option.name} = {values[option.name]} does nothing: {owner}.{other} is {values[other]}"
        for option in schema
        for other, idle_with in option.unused_with.items()
        if values[option.name] != option.default and values[other] in idle_with
    ]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # file names that are not UTF-8 arrive with lone surrogates
        return False
    return True


def _describe_field(field: dataclasses.Field[Any], hint: Any) -> Option:
    optional = False
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        arguments = typing.get_args(hint)
        optional = type(None) in arguments
        rest = [a for a in arguments if a is not type(None)]
        hint = rest[0] if len(rest) == 1 else hint
    choices: tuple[str, ...] = ()
    if typing.get_origin(hint) is Literal and all(isinstance(choice, str) for choice in typing.get_args(hint)):
        choices, hint = typing.get_args(hint), str
    type_name = next((name for name, known in _TYPES.items() if known == hint), None)
    if type_name is None:
        raise SpecError(
            f"option '{field.name}' has type {hint!r}.", f"Use one of {', '.join(_TYPES)} or a Literal of strings."
        )
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        raise SpecError(f"option '{field.name}' has no default.", "Give every option a default.")
    if not field.init:
        raise SpecError(f"option '{field.name}' cannot be set.", "Remove init=False.")
    found = Option(
        name=field.name,
        type=type_name,
        default=default,
        help=field.metadata.get("help", ""),
        minimum=field.metadata.get("minimum"),
        maximum=field.metadata.get("maximum"),
        choices=choices,
        optional=optional,
        folder=field.metadata.get("folder", False),
        unused_with=field.metadata.get("unused_with", {}),
    )
    try:
        return dataclasses.replace(found, default=found.check(default, "default"))
    except UsageError as error:
        raise SpecError(f"option '{field.name}' breaks its own type or range: {error.cause}") from None
