"""Replaceable functions of a loss: an execution can swap in compiled ones, and the family calls them unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from genbench.api.specs import LossSpec
from genbench.train.exchanges import CheckedFunction, loss_function

# Fields of the built-in losses that hold functions of tensors; the same names in other losses are used too.
REPLACEABLE = ("discriminator", "generator", "objective")
PENALTIES = ("penalty", "generator_penalty")  # need gradients of gradients, which compiled code does not support


class ReplaceableFunction:
    """Calls `current`: the function itself, unless an execution has replaced it. Its first result is checked."""

    def __init__(self, function: Callable[..., Any], checked: CheckedFunction) -> None:
        self.function = function
        self.current = function
        self._checked = checked

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Call the current function."""
        return self._checked.call(self.current, inputs, named)


def make_replaceable(loss: Any, spec: LossSpec) -> tuple[Any, dict[str, ReplaceableFunction]]:
    """Return the loss of this spec with its functions made replaceable, and these functions by field.

    A loss that is not a dataclass, or has other fields, is returned unchanged with no such functions.
    """
    if not dataclasses.is_dataclass(loss) or isinstance(loss, type):
        return loss, {}
    functions = {
        field.name: ReplaceableFunction(function, loss_function(spec, field.name, function))
        for field in dataclasses.fields(loss)
        if field.init and field.name in (*REPLACEABLE, *PENALTIES) and callable(function := getattr(loss, field.name))
    }
    return (dataclasses.replace(loss, **functions), functions) if functions else (loss, {})
