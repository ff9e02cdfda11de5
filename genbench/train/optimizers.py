"""Optimisers: one per player, made from the recipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

import torch
from torch import nn

from genbench.api.recipe import Recipe
from genbench.api.training import Phase
from genbench.errors import SpecError, near_miss
from genbench.measure.capabilities import can
from genbench.planning.remedies import check_betas
from genbench.train.phase_recipe import phase_recipe


def make_optimizers(
    networks: Mapping[str, nn.Module], phases: Sequence[Phase], recipe: Recipe, changed: Collection[str] = ()
) -> dict[str, torch.optim.Optimizer]:
    """Return an optimiser for each phase that has something to train, by phase name.

    A phase that names another phase's optimiser gets the same object: a lazy regulariser is an additional update of the
    same player. To keep the step size and memory of a single combined objective, learning rate and betas become c·lr
    and beta^c, where c = updates without / updates with the regulariser, that is k / (k + 1) if it runs in every k-th
    step (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).

    What a phase states wins over the recipe, except for the settings that the user changed. Parameters that need no
    gradient are left out. Raises `SpecError` if a phase shares an optimiser that does not exist or does not train its
    networks, or overrides something that is not an optimiser setting, and `UsageError` if a beta is 1.
    """
    owners = {phase.name: phase for phase in phases if not phase.optimizer}
    for phase in phases:
        _check_sharing(phase, owners)
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for name, owner in owners.items():
        parameters = [p for network in owner.networks for p in networks[network].parameters() if p.requires_grad]
        if not parameters:
            continue
        sharers = [phase for phase in phases if phase.optimizer == name]
        own = Fraction(owner.repeats, owner.every)
        both = sum((Fraction(phase.repeats, phase.every) for phase in sharers), own)  # updates per step
        optimizer = _make_optimizer(
            list(dict.fromkeys(parameters)), phase_recipe(owner, recipe, changed), float(own / both)
        )
        optimizers |= dict.fromkeys([name, *(phase.name for phase in sharers)], optimizer)
    return optimizers


def _make_optimizer(parameters: list[nn.Parameter], recipe: Recipe, correction: float) -> torch.optim.Optimizer:
    """Return the fastest implementation of this optimiser in torch: fused if there is one, else multi-tensor."""
    check_betas(recipe)
    rate, betas = recipe.learning_rate * correction, (recipe.beta1**correction, recipe.beta2**correction)
    decay, momentum = recipe.weight_decay, recipe.momentum
    known = can(parameters[0].device).fused_optimizers  # on other devices torch decides
    fastest, multi_tensor = ({"fused": True}, {"foreach": True}) if known else ({}, {})
    match recipe.optimizer:
        case "adam":  # Kingma & Ba 2015
            return torch.optim.Adam(parameters, rate, betas, weight_decay=decay, **fastest)
        case "adamw":  # Loshchilov & Hutter 2019
            return torch.optim.AdamW(parameters, rate, betas, weight_decay=decay, **fastest)
        case "rmsprop":  # Hinton 2012, lecture 6e; decay of the squares: 0.99
            return torch.optim.RMSprop(parameters, rate, momentum=momentum, weight_decay=decay, **multi_tensor)
        case "sgd":
            return torch.optim.SGD(parameters, rate, momentum=momentum, weight_decay=decay, **fastest)


def _check_sharing(phase: Phase, owners: Mapping[str, Phase]) -> None:
    if not phase.optimizer:
        return
    if phase.recipe or phase.recipe_factors:
        raise SpecError(
            f"Phase '{phase.name}' shares the optimiser of '{phase.optimizer}', but overrides "
            f"{', '.join((*phase.recipe, *phase.recipe_factors))}.",
            f"Set them in the phase '{phase.optimizer}'.",
        )
    owner = owners.get(phase.optimizer)
    if owner is None:
        raise SpecError(
            f"Phase '{phase.name}' shares the optimiser of '{phase.optimizer}', which is not a phase with its own "
            f"optimiser.{near_miss(phase.optimizer, owners)}",
            f"Phases with their own optimiser: {', '.join(owners) or 'none'}.",
        )
    foreign = [name for name in phase.networks if name not in owner.networks]
    if foreign:
        raise SpecError(
            f"Phase '{phase.name}' trains {', '.join(foreign)} with the optimiser of '{owner.name}', which trains only "
            f"{', '.join(owner.networks)}.",
            "Give the phase its own optimiser, or train the same networks.",
        )
