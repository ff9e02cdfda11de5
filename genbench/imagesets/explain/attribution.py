"""Dividing the difference between two protocols among the choices in which they differ.

A waterfall changes one choice at a time, in a fixed order: the steps sum to the whole difference exactly, but where
choices interact the size of a step depends on the order. With few choices all orders are computed; the mean of a
choice's effect over all orders is its Shapley value (Shapley, A value for n-person games, 1953), and these sum to the
whole difference too.

The difference between two protocols on the same images varies much less with the images than either value: the
delete-block jackknife is applied to the difference itself, with the same blocks for both protocols. As that of the
distance, it is up to √2 times too large where the second set is as good as the first (docs/statistics.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import factorial

import torch

from genbench.metrics.standard_errors import Jackknife, jackknife

MAX_EXACT = 4  # choices: of more, 2^k protocols would be measured; then only the extremes below are
Subset = frozenset[str]


@dataclass(frozen=True)
class Measured:
    """A distance, and by how much it changes when each block of the second set is deleted (empty: unknown)."""

    value: float
    changes: tuple[float, ...] = ()

    @property
    def standard_error(self) -> float | None:
        """The jackknife standard error from drawing the second set; None: unknown."""
        return None if self._jackknife is None else self._jackknife.standard_error

    @property
    def bias(self) -> float | None:
        """The part of the value that is due to the finite size of the second set; None: unknown."""
        return None if self._jackknife is None else self._jackknife.bias

    @property
    def _jackknife(self) -> Jackknife | None:
        return jackknife(torch.tensor(self.changes, dtype=torch.float64)) if len(self.changes) > 1 else None

    def change_with(self, n: int, more: int) -> float:
        """Return the change to be expected with `more` images instead of `n`: 0 where the bias is unknown.

        The bias of a Fréchet distance falls as 1/N, if N is larger than the number of features.
        """
        return 0.0 if self.bias is None else -self.bias * (1 - n / more)

    def __sub__(self, other: Measured) -> Measured:
        same = len(self.changes) == len(other.changes)
        changes = [one - two for one, two in zip(self.changes, other.changes, strict=True)] if same else ()
        return Measured(self.value - other.value, tuple(changes))


@dataclass(frozen=True)
class Contribution:
    """The effect of one choice on the way from one protocol to the other."""

    choice: str
    effect: Measured  # when the choices before it have changed
    mean: Measured | None  # over all orders: the Shapley value; None: not all orders were computed
    lowest: float  # over all orders; without these, over the waterfall and the choice alone, first and last
    highest: float


def subsets_needed(choices: Sequence[str]) -> list[Subset]:
    """Return the sets of changed choices whose distances `attribute` asks for."""
    if len(choices) <= MAX_EXACT:
        return [frozenset(some) for size in range(len(choices) + 1) for some in itertools.combinations(choices, size)]
    path = [frozenset(choices[:size]) for size in range(len(choices) + 1)]
    alone = [frozenset({choice}) for choice in choices]
    last = [frozenset(choices) - {choice} for choice in choices]
    return list(dict.fromkeys([*path, *alone, *last]))


def attribute(choices: Sequence[str], measured: Callable[[Subset], Measured]) -> list[Contribution]:
    """Return the contribution of each choice, in the given order; the effects sum to the whole difference.

    `measured` returns the distance when a set of choices has changed.
    """
    values = {subset: measured(subset) for subset in subsets_needed(choices)}
    return [_contribution(choices, place, values) for place in range(len(choices))]


def _contribution(choices: Sequence[str], place: int, values: Mapping[Subset, Measured]) -> Contribution:
    choice, before = choices[place], frozenset(choices[:place])
    effects = {
        subset: values[subset | {choice}] - one
        for subset, one in values.items()
        if choice not in subset and subset | {choice} in values
    }
    sizes = [effect.value for effect in effects.values()]
    mean = _shapley(effects, len(choices)) if len(choices) <= MAX_EXACT else None
    return Contribution(choice, effects[before], mean, min(sizes), max(sizes))


def _shapley(effects: Mapping[Subset, Measured], count: int) -> Measured:
    weights = {
        subset: factorial(len(subset)) * factorial(count - len(subset) - 1) / factorial(count) for subset in effects
    }
    value = sum(weights[subset] * effect.value for subset, effect in effects.items())
    blocks = min(len(effect.changes) for effect in effects.values())
    known = all(len(effect.changes) == blocks for effect in effects.values())
    changes = [
        sum(weights[subset] * effect.changes[block] for subset, effect in effects.items())
        for block in range(blocks if known else 0)
    ]
    return Measured(value, tuple(changes))
