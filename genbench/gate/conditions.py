"""The conditions under which a speed was measured, and why two speeds cannot be compared.

A condition that nobody recorded is `UNKNOWN`. Two unknown conditions are not equal: the machines may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from genbench.results.schema import MACHINE_FIELDS, Comparability

UNKNOWN = "unknown"
NONE = "none"  # a condition that does not apply, such as a GPU's driver on a machine without one

# A processor is known by its model. These names of architectures are what a system states if it has no model.
_ARCHITECTURES = (
    *("aarch64", "amd64", "arm", "arm64", "armv7l", "armv8l", "i386", "i686", "ppc64", "ppc64le"),
    *("riscv64", "s390x", "x86_64"),
)
_REQUIRED = frozenset(
    field.name for field in msgspec.structs.fields(Comparability) if field.required and field.name in MACHINE_FIELDS
)


def machine_facts(recorded: Mapping[str, object]) -> dict[str, str]:
    """Return all conditions that genbench records, in text; what is not recorded is `UNKNOWN`.

    Conditions that older versions did not record yet have a default in `Comparability`, and are `NONE`.
    """
    missing = {name: UNKNOWN if name in _REQUIRED else NONE for name in MACHINE_FIELDS}
    known = {name: str(recorded[name]) for name in MACHINE_FIELDS if recorded.get(name) is not None}
    return {**missing, **{name: value for name, value in known.items() if value.strip()}}


def is_known(name: str, value: str) -> bool:
    """Return whether the value of a condition identifies it."""
    if name == "machine":
        return value.strip().casefold() not in (*_ARCHITECTURES, UNKNOWN, NONE, "")
    return value != UNKNOWN


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Describe the fields in which two sides differ; a field that only one side has does not count."""
    return "; ".join(
        f"{name} is {one[name]} in base, {other[name]} in head"
        for name in one
        if name in other and one[name] != other[name]
    )


def incomparable(base: Mapping[str, str], head: Mapping[str, str]) -> str:
    """Return why the speeds of two machines cannot be compared; empty if the machines are known and equal."""
    sides = {"base": base, "head": head}
    unknown: dict[str, list[str]] = {}
    for side, facts in sides.items():
        for name, value in {"machine": UNKNOWN, **facts}.items():
            if not is_known(name, value):
                unknown.setdefault(name, []).append(side)
    known = [{name: value for name, value in facts.items() if name not in unknown} for facts in sides.values()]
    parts = [f"measured under different conditions: {found}"] if (found := differing(*known)) else []
    if unknown:
        fields = "; ".join(f"{name} is unknown in {' and '.join(where)}" for name, where in unknown.items())
        parts.append(f"not known to be measured under the same conditions: {fields}")
    return "; ".join(parts)


def conflict(members: Iterable[tuple[str, Mapping[str, object]]]) -> str:
    """Describe the fields in which the members of one side differ, each given with its name: a file or a seed."""
    first_name, first = "", None
    found: dict[str, str] = {}
    for name, facts in members:
        if first is None:
            first_name, first = name, facts
            continue
        for field in {**first, **facts}:
            one, other = first.get(field, UNKNOWN), facts.get(field, UNKNOWN)
            if one != other and field not in found:
                found[field] = f"{field} is {one} in {first_name}, {other} in {name}"
    return "; ".join(found.values())
