"""Creating a loss, and making its functions replaceable: an execution can swap in compiled ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from genbench.api.options import OptionValue
from genbench.api.specs import LossSpec, resolve
from genbench.errors import SpecError
from genbench.measure.user_frame import error_location
from genbench.plugins.catalogue import Catalogue

# Fields of the built-in losses that hold functions of tensors; the same names in other losses are used too.
REPLACEABLE = ("discriminator", "generator", "objective")
PENALTY = "penalty"  # needs the gradient of a gradient, which compiled code does not support


def create_loss(spec: LossSpec, options: Mapping[str, OptionValue], catalogue: Catalogue) -> Any:
    """Create the loss; a `SpecError` of what its author's code builds names the loss, the plugin and the line."""
    try:
        return resolve(spec.create)(spec.make_options(options))
    except SpecError as error:
        plugin = catalogue.require("losses", spec.name).plugin.title
        cause = f"create of the loss '{spec.name}' of {plugin}{error_location(error)}: {error.cause}"
        raise SpecError(cause, error.cure) from error


class ReplaceableFunction:
    """Calls `current`: the function itself, unless an execution has replaced it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.current = function

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Call the current function."""
        return self.current(*inputs, **named)


def make_replaceable(loss: Any) -> tuple[Any, dict[str, ReplaceableFunction]]:
    """Return the loss with its functions made replaceable, and these functions by field.

    A loss that is not a dataclass, or has other fields, is returned unchanged with no such functions.
    """
    if not dataclasses.is_dataclass(loss) or isinstance(loss, type):
        return loss, {}
    functions = {
        field.name: ReplaceableFunction(getattr(loss, field.name))
        for field in dataclasses.fields(loss)
        if field.init and field.name in (*REPLACEABLE, PENALTY) and callable(getattr(loss, field.name))
    }
    return (dataclasses.replace(loss, **functions), functions) if functions else (loss, {})
