"""The learning-rate schedule: a pure function of the images consumed so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from genbench.api.recipe import Recipe


def learning_rate_factor(recipe: Recipe) -> Callable[[int, int], float]:
    """Return `factor(images_seen, budget)`, by which the learning rates are multiplied in the next step.

    With n images seen, budget N, warm-up w, batch B, start s, final fraction f, and t = (n - s) / (N - s) in [0, 1]:

        constant    1
        linear      1 - (1 - f) t
        cosine      f + (1 - f) (1 + cos πt) / 2                        (Loshchilov & Hutter 2017, equation 5)
        step        schedule_factor^⌊n / schedule_every⌋
        warm-up     times min(1, (n + B) / w)                           (Goyal et al. 2017, section 2.2)

    The warm-up counts the images of the step itself, so that the first step has an effect. There is no decay if it
    would start at or after the end of the budget.
    """
    final, start = recipe.schedule_final, recipe.schedule_start

    def decay(images_seen: int, budget: int) -> float:
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "step":
            return float(recipe.schedule_factor ** (images_seen // recipe.schedule_every))
        if budget <= start:
            return 1.0
        passed = min(1.0, max(0.0, (images_seen - start) / (budget - start)))
        remaining = 1 - passed if recipe.schedule == "linear" else (1 + math.cos(math.pi * passed)) / 2
        return final + (1 - final) * remaining

    def factor(images_seen: int, budget: int) -> float:
        warmed = 1.0
        if recipe.schedule_warmup:
            warmed = min(1.0, (images_seen + recipe.batch_size) / recipe.schedule_warmup)
        return warmed * decay(images_seen, budget)

    return factor


def set_learning_rates(groups: Sequence[dict[str, Any]], bases: Sequence[float], factor: float) -> None:
    """Set the learning rate of each parameter group to its base times `factor`, without a device sync."""
    for group, base in zip(groups, bases, strict=True):
        group["lr"] = base * factor
