"""The update rules of a recipe: changes to gradients and learning rates in each step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import nn

from genbench.api.recipe import Recipe
from genbench.api.training import Phase
from genbench.errors import SpecError, near_miss
from genbench.train.engine import UpdateRules
from genbench.train.learning_rate_schedule import learning_rate_factor, set_learning_rates
from genbench.train.regularisation import add_orthogonal_gradient, require_weights


def make_update_rules(
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    recipe: Recipe,
    regularised: Collection[str] = (),
) -> UpdateRules:
    """Return gradient clipping, orthogonal regularisation and the learning-rate schedule of this recipe.

    `regularised` names the networks that the orthogonal regularisation applies to; empty: all. Raises `SpecError` for
    unknown ones.
    """
    orthogonal, chosen = recipe.orthogonal, _chosen(networks, regularised)
    if orthogonal > 0:
        require_weights({name: networks[name] for name in chosen})

    def add_gradients(phase: Phase) -> None:
        if phase.optimizer:  # a lazy regulariser: the gradient was added in the phase whose optimiser it shares
            return
        for name in phase.networks:
            if name in chosen:
                add_orthogonal_gradient(networks[name], orthogonal)

    return UpdateRules(
        clip_gradient=recipe.clip_gradient,
        add_gradients=add_gradients if orthogonal > 0 else None,
        schedule=_schedule(optimizers, recipe),
    )


def _chosen(networks: Mapping[str, nn.Module], names: Collection[str]) -> Collection[str]:
    unknown = [name for name in names if name not in networks]
    if unknown:
        raise SpecError(
            f"Orthogonal regularisation applies to '{unknown[0]}', which is not a network of the model."
            f"{near_miss(unknown[0], networks)}",
            f"The model has: {', '.join(networks)}.",
            code="GB510",
        )
    return names or networks


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
