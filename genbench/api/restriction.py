"""Restrictions: settings that a model, loss or family does not work with, as data that a plan can check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genbench.api.options import Option, OptionValue
from genbench.api.recipe import RECIPE_SCHEMA, Recipe
from genbench.errors import SpecError, UsageError, near_miss

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")  # the processor; GPUs of NVIDIA or AMD, of Apple, of Intel
DEVICE = Option("device", "str", "cpu", choices=DEVICE_TYPES)  # allowed in addition to recipe fields


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """Values of one setting that a model, loss or family does not work with.

    A cell with such a value is skipped with this reason when the run is planned; the other cells are executed. State
    the values with `excludes`, with `allows`, or with bounds (`minimum`, `maximum` or both). Without `options` the
    restriction always applies; with them, only if the spec's own options have these values.
    """

    setting: str  # a field of the recipe, or 'device' (one of `DEVICE_TYPES`)
    reason: str  # why, in one clause: "its critic has no decision boundary for ADA to watch"
    excludes: tuple[OptionValue, ...] = ()  # these values do not work
    allows: tuple[OptionValue, ...] = ()  # only these values work
    minimum: float | None = None  # smaller values do not work
    maximum: float | None = None  # greater values do not work
    options: Mapping[str, OptionValue] = field(default_factory=dict)  # own options -> values with which it applies

    def __post_init__(self) -> None:
        known = {option.name: option for option in (*RECIPE_SCHEMA, DEVICE)}
        found = known.get(self.setting)
        if found is None:
            raise SpecError(
                f"A restriction names the unknown setting '{self.setting}'.{near_miss(str(self.setting), known)}",
                "Name a recipe field, or 'device'.",
            )
        if not (isinstance(self.reason, str) and self.reason.strip()):
            raise SpecError(
                f"The restriction on '{self.setting}' has no reason.", "Say why in one clause: users read it."
            )
        for name in ("excludes", "allows"):
            values = getattr(self, name)
            if isinstance(values, str) or not isinstance(values, list | tuple):
                raise SpecError(f"{name} of the restriction on '{self.setting}' is {values!r}, not a tuple of values.")
            object.__setattr__(self, name, tuple(_checked(found, value) for value in values))
        bounded = self.minimum is not None or self.maximum is not None
        if sum(map(bool, (self.excludes, self.allows, bounded))) != 1:
            raise SpecError(
                f"The restriction on '{self.setting}' must say which values do not work.",
                "Give exactly one of excludes, allows, or bounds (minimum, maximum, or both).",
            )
        if bounded and found.type not in ("int", "float"):
            raise SpecError(f"The restriction on '{self.setting}' has a bound, but its values are not numbers.")

    def violation(self, recipe: Recipe, device: str, options: Mapping[str, OptionValue]) -> str:
        """Return the setting that does not work, such as ``augment_discriminator = ada``, or an empty string.

        Args:
            recipe: the recipe of the cell.
            device: one of `DEVICE_TYPES`.
            options: the option values of the model or loss that declares the restriction.
        """
        if any(options.get(name) != value for name, value in self.options.items()):
            return ""
        value: Any = device if self.setting == DEVICE.name else getattr(recipe, self.setting)
        return "" if self._allows(value) else f"{self.setting} = {value}"

    def _allows(self, value: Any) -> bool:
        if self.excludes:
            return value not in self.excludes
        if self.allows:
            return value in self.allows
        if value is None:
            return True
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


def _checked(setting: Option, value: object) -> OptionValue:
    """Return the value, converted to the type of the setting; raise `SpecError` if the setting cannot have it."""
    try:
        return setting.check(value, "restriction")
    except UsageError as error:
        raise SpecError(f"A restriction names an invalid value: {error.cause}", error.cure) from None
