"""The update rules of a recipe: changes to gradients and learning rates in each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from genbench.api.recipe import Recipe
from genbench.api.training import Phase
from genbench.train.engine import UpdateRules
from genbench.train.learning_rate_schedule import learning_rate_factor, set_learning_rates
from genbench.train.regularisation import add_orthogonal_gradient, require_weights


def make_update_rules(
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    recipe: Recipe,
) -> UpdateRules:
    """Return gradient clipping, orthogonal regularisation and the learning-rate schedule of this recipe."""
    orthogonal = recipe.orthogonal
    if orthogonal > 0:
        require_weights(networks)

    def add_gradients(phase: Phase) -> None:
        if phase.optimizer:  # a lazy regulariser: the gradient was added in the phase whose optimiser it shares
            return
        for name in phase.networks:
            add_orthogonal_gradient(networks[name], orthogonal)

    return UpdateRules(
        clip_gradient=recipe.clip_gradient,
        add_gradients=add_gradients if orthogonal > 0 else None,
        schedule=_schedule(optimizers, recipe),
    )


def _schedule(optimizers: Mapping[str, torch.optim.Optimizer], recipe: Recipe) -> Callable[[int], None] | None:
    if recipe.schedule == "constant" and not recipe.schedule_warmup:
        return None
    factor = learning_rate_factor(recipe)
    distinct = list(dict.fromkeys(optimizers.values()))
    bases = [float(group["lr"]) for optimizer in distinct for group in optimizer.param_groups]

    def schedule(images_seen: int) -> None:
        # Not stored, because loading a checkpoint replaces the groups of an optimiser.
        groups = [group for optimizer in distinct for group in optimizer.param_groups]
        set_learning_rates(groups, bases, factor(images_seen, recipe.images))

    return schedule
