"""Specs as plain data, so that another process can plan with a plugin without importing it."""

from __future__ import annotations

import dataclasses
from typing import Any

from genbench.api.options import Option
from genbench.api.restriction import Restriction
from genbench.api.shape_rule import ShapeRule
from genbench.api.specs import ConfigurableSpec, SamplerSpec, Spec
from genbench.plugins.loader import SPEC_TYPES, Kind

CODE_FIELDS = ("build", "create", "load", "measure", "mode_of", "signature")  # they hold code, or its import path
PLACEHOLDER = "genbench.plugins.spec_transfer:not_loaded_here"  # replaces a callable of the plugin


def not_loaded_here(*_: object, **__: object) -> None:
    """Take the place of a plugin's callable; the worker, which imports the plugin, has the real one."""
    raise RuntimeError("a plugin's code was called in a process that has not imported the plugin")


def spec_to_data(spec: Spec) -> dict[str, Any]:
    """Return a spec as JSON-compatible data, with placeholders for its callables."""
    data: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if callable(value) or (isinstance(value, str) and field.name in CODE_FIELDS):
            value = PLACEHOLDER
        data[field.name] = value
    if "restrictions" in data:
        data["restrictions"] = [dataclasses.asdict(restriction) for restriction in data["restrictions"]]
    if isinstance(data.get("image_shapes"), ShapeRule):
        data["image_shapes"] = dataclasses.asdict(data["image_shapes"])
    if "samplers" in data:
        data["samplers"] = [spec_to_data(sampler) for sampler in data["samplers"]]
    if isinstance(spec, ConfigurableSpec):
        data["options"] = [dataclasses.asdict(option) for option in spec.option_schema]
    return data


def spec_from_data(kind: Kind, data: dict[str, Any]) -> Spec:
    """Rebuild a spec from the result of `spec_to_data`; raise `SpecError` if it violates the contract."""
    values = dict(data)
    if "options" in values:
        values["options"] = _options(values["options"])
    if "samplers" in values:
        values["samplers"] = tuple(
            SamplerSpec(**{**sampler, "options": _options(sampler["options"])}) for sampler in values["samplers"]
        )
    if "restrictions" in values:
        values["restrictions"] = tuple(Restriction(**restriction) for restriction in values["restrictions"])
    if isinstance(values.get("image_shapes"), dict):
        values["image_shapes"] = ShapeRule(**values["image_shapes"])
    return SPEC_TYPES[kind](**values)


def _options(data: list[dict[str, Any]]) -> tuple[Option, ...]:
    return tuple(Option(**{**option, "choices": tuple(option["choices"])}) for option in data)
