"""Recipes that a model, loss or family cannot work with, declared as data so that a plan can skip such cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genbench.api.options import Option, OptionValue
from genbench.api.recipe import RECIPE_SCHEMA, Recipe
from genbench.errors import SpecError, UsageError, near_miss

DEVICE = Option("device", "str", "cpu", choices=("cpu", "cuda"))  # what a restriction may name besides recipe fields


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """Values of one setting that a model, loss or family cannot work with.

    A cell with such a value is planned as skipped, with the reason, and the other cells go on. Exactly one of
    `excludes`, `allows`, `minimum` and `maximum` says which values these are (both bounds may be given). Without
    `options` the restriction always holds; with them, only where the spec's own options have these values.
    """

    setting: str  # a field of the recipe, or 'device': 'cpu' or 'cuda'
    reason: str  # why, in one clause: "its critic has no decision boundary for ADA to watch"
    excludes: tuple[OptionValue, ...] = ()  # these values do not work
    allows: tuple[OptionValue, ...] = ()  # only these values work
    minimum: float | None = None  # smaller values do not work
    maximum: float | None = None  # greater values do not work
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {option.name: option for option in (*RECIPE_SCHEMA, DEVICE)}
        found = known.get(self.setting)
        if found is None:
            raise SpecError(
                f"A restriction names the setting '{self.setting}'.{near_miss(str(self.setting), known)}",
                "It is the name of a recipe field, or 'device'.",
            )
        if not (isinstance(self.reason, str) and self.reason.strip()):
            raise SpecError(
                f"The restriction of '{self.setting}' has no reason.", "Say why in one clause: users read it."
            )
        for name in ("excludes", "allows"):
            values = getattr(self, name)
            if isinstance(values, str) or not isinstance(values, list | tuple):
                raise SpecError(f"{name} of the restriction of '{self.setting}' is {values!r}, not a tuple of values.")
            object.__setattr__(self, name, tuple(_checked(found, value) for value in values))
        bounded = self.minimum is not None or self.maximum is not None
        if sum(map(bool, (self.excludes, self.allows, bounded))) != 1:
            raise SpecError(
                f"The restriction of '{self.setting}' must say which values do not work.",
                "Give exactly one of excludes, allows, or bounds (minimum, maximum, or both).",
            )
        if bounded and found.type not in ("int", "float"):
            raise SpecError(f"The restriction of '{self.setting}' has a bound, but its values are no numbers.")

    def violation(self, recipe: Recipe, device: str, options: Mapping[str, OptionValue]) -> str:
        """Return what does not work, such as ``augment_discriminator = ada``; empty where nothing is violated.

        Args:
            recipe: of the cell.
            device: 'cpu' or 'cuda'.
            options: of the model or loss that declares the restriction.
        """
        if any(options.get(name) != value for name, value in self.options.items()):
            return ""
        value: Any = device if self.setting == DEVICE.name else getattr(recipe, self.setting)
        return "" if self._admits(value) else f"{self.setting} = {value}"

    def _admits(self, value: Any) -> bool:
        if self.excludes:
            return value not in self.excludes
        if self.allows:
            return value in self.allows
        if value is None:
            return True
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


def _checked(setting: Option, value: object) -> OptionValue:
    """Return a value that the setting can have; raise `SpecError` for another one."""
    try:
        return setting.check(value, "restriction")
    except UsageError as error:
        raise SpecError(f"A restriction names an impossible value: {error.cause}", error.cure) from None
