"""Functions of a loss that an execution may exchange for compiled ones; the family calls them without knowing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

# Fields of a loss that hold its functions of tensors, in the built-in families; others of the same name are taken too.
REPLACEABLE = ("discriminator", "generator", "objective")
PENALTY = "penalty"  # takes the gradient of a network's gradient, which compiled code does not give


class ReplaceableFunction:
    """Calls `current`, which is the function itself unless an execution puts another in its place."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.current = function

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Call what is in force."""
        return self.current(*inputs, **named)


def make_replaceable(loss: Any) -> tuple[Any, dict[str, ReplaceableFunction]]:
    """Return the loss with switches in the place of its functions, and the switches by field.

    A loss that is no dataclass, or that calls its functions otherwise, is returned as it is, with no switches.
    """
    if not dataclasses.is_dataclass(loss) or isinstance(loss, type):
        return loss, {}
    functions = {
        field.name: ReplaceableFunction(getattr(loss, field.name))
        for field in dataclasses.fields(loss)
        if field.init and field.name in (*REPLACEABLE, PENALTY) and callable(getattr(loss, field.name))
    }
    return (dataclasses.replace(loss, **functions), functions) if functions else (loss, {})
