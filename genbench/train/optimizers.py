"""One optimiser per player, made from the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import torch
from torch import nn

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.training import Phase
from genbench.errors import SpecError, UsageError, near_miss

DISCRIMINATOR = "discriminator"  # the phase that `discriminator_learning_rate` is for
OWN_FIELDS = ("optimizer", "learning_rate", "beta1", "beta2", "momentum", "weight_decay")  # what a phase may want


def make_optimizers(
    networks: Mapping[str, nn.Module], phases: Sequence[Phase], recipe: Recipe
) -> dict[str, torch.optim.Optimizer]:
    """Return an optimiser for each phase that has something to train, by phase name.

    A phase that names another's optimiser gets that same object: a lazy regulariser is one more update of the same
    player. So that the player moves as far, and remembers as long, as if its two objectives were one, learning rate
    and betas become c·lr and beta^c, where c = updates without / updates with the regulariser: k / (k + 1) where it
    runs in each k-th step (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B).

    What a phase wants otherwise (`Phase.recipe`) wins over the recipe. Parameters that need no gradient are left out.
    Raises `SpecError` where a phase shares an optimiser that is not there, or trains networks that it does not hold, or
    wants what is no setting of its optimiser, and `UsageError` where a beta is 1.
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
        optimizer = _make_optimizer(list(dict.fromkeys(parameters)), _recipe_of(owner, recipe), float(own / both))
        optimizers |= dict.fromkeys([name, *(phase.name for phase in sharers)], optimizer)
    return optimizers


def _recipe_of(phase: Phase, recipe: Recipe) -> Recipe:
    """Return the recipe with what this phase's optimiser wants otherwise."""
    if phase.name == DISCRIMINATOR and recipe.discriminator_learning_rate is not None:
        recipe = replace(recipe, learning_rate=recipe.discriminator_learning_rate)
    for name in phase.recipe:
        if name not in OWN_FIELDS:
            raise SpecError(
                f"Phase '{phase.name}' wants its own '{name}', which is no setting of an optimiser."
                f"{near_miss(name, OWN_FIELDS)}",
                f"Such settings are: {', '.join(OWN_FIELDS)}.",
            )
    return resolve_recipe(recipe.settings, phase.recipe, owner=f"phase {phase.name}")


def _make_optimizer(parameters: list[nn.Parameter], recipe: Recipe, correction: float) -> torch.optim.Optimizer:
    """Return the fastest implementation that torch has of this optimiser: fused, or else for many tensors at once."""
    rate = recipe.learning_rate * correction
    decay, momentum = recipe.weight_decay, recipe.momentum
    match recipe.optimizer:
        case "adam":  # Kingma & Ba 2015
            return torch.optim.Adam(parameters, rate, _betas(recipe, correction), weight_decay=decay, fused=True)
        case "adamw":  # Loshchilov & Hutter 2019
            return torch.optim.AdamW(parameters, rate, _betas(recipe, correction), weight_decay=decay, fused=True)
        case "rmsprop":  # Hinton 2012, lecture 6e; decay 0.99 of the squares
            return torch.optim.RMSprop(parameters, rate, momentum=momentum, weight_decay=decay, foreach=True)
        case "sgd":
            return torch.optim.SGD(parameters, rate, momentum=momentum, weight_decay=decay, fused=True)


def _betas(recipe: Recipe, correction: float) -> tuple[float, float]:
    for name, beta in (("beta1", recipe.beta1), ("beta2", recipe.beta2)):
        if beta >= 1:
            raise UsageError(
                f"recipe.{name} = {beta:g} would never take in a gradient.", f"{name} is at least 0, below 1."
            )
    return recipe.beta1**correction, recipe.beta2**correction


def _check_sharing(phase: Phase, owners: Mapping[str, Phase]) -> None:
    if not phase.optimizer:
        return
    if phase.recipe:
        raise SpecError(
            f"Phase '{phase.name}' shares the optimiser of '{phase.optimizer}', and wants {', '.join(phase.recipe)} of "
            "its own.",
            f"Set them in the phase '{phase.optimizer}'.",
        )
    owner = owners.get(phase.optimizer)
    if owner is None:
        raise SpecError(
            f"Phase '{phase.name}' shares the optimiser of '{phase.optimizer}', which is no phase with an optimiser of "
            f"its own.{near_miss(phase.optimizer, owners)}",
            f"Such phases are: {', '.join(owners) or 'none'}.",
        )
    foreign = [name for name in phase.networks if name not in owner.networks]
    if foreign:
        raise SpecError(
            f"Phase '{phase.name}' trains {', '.join(foreign)} by the optimiser of '{owner.name}', which trains only "
            f"{', '.join(owner.networks)}.",
            "Give the phase an optimiser of its own, or train the same networks.",
        )
