"""Specs as plain data: what another process needs to plan with a plugin that it does not import."""

from __future__ import annotations

import dataclasses
from typing import Any

from genbench.api.options import Option
from genbench.api.specs import ConfigurableSpec, Spec
from genbench.plugins.loader import SPEC_TYPES, Kind

TARGETS = ("build", "create", "load", "measure", "mode_of", "signature")  # fields that name or hold code
ELSEWHERE = "genbench.plugins.spec_transfer:loaded_in_the_worker"  # stands for a callable of the plugin


def loaded_in_the_worker(*_: object, **__: object) -> None:
    """Stand for a plugin's callable; the worker, which imports the plugin, has the real one."""
    raise RuntimeError("a plugin's code was called in a process that has only its description")


def spec_to_data(spec: Spec) -> dict[str, Any]:
    """Return a spec as data that JSON can carry; its callables are left behind."""
    data: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if callable(value) or (isinstance(value, str) and field.name in TARGETS):
            value = ELSEWHERE
        data[field.name] = value
    if isinstance(spec, ConfigurableSpec):
        data["options"] = [dataclasses.asdict(option) for option in spec.option_schema]
    return data


def spec_from_data(kind: Kind, data: dict[str, Any]) -> Spec:
    """Rebuild a spec from `spec_to_data`; raises `SpecError` where the contract is broken."""
    values = dict(data)
    if "options" in values:
        values["options"] = tuple(Option(**{**o, "choices": tuple(o["choices"])}) for o in values["options"])
    return SPEC_TYPES[kind](**values)
