"""Creating adversarial losses from options: a game, and possibly a penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

import genbench
from genbench.builtin.losses.adversarial import (
    CrossEntropyOptions,
    DraganOptions,
    GradientPenaltyOptions,
    PairedOptions,
    R1Options,
    WassersteinOptions,
    WeightedOptions,
    games,
    penalties,
)

Penalty: TypeAlias = Callable[[penalties.Discriminator, Tensor, Tensor, torch.Generator], Tensor]


def non_saturating(options: CrossEntropyOptions) -> genbench.AdversarialLoss:
    """Return the non-saturating game."""
    return genbench.AdversarialLoss(_cross_entropy(options), games.non_saturating_generator)


def minimax(options: CrossEntropyOptions) -> genbench.AdversarialLoss:
    """Return the zero-sum game."""
    return genbench.AdversarialLoss(_cross_entropy(options), games.minimax_generator)


def lsgan(options: object = None) -> genbench.AdversarialLoss:
    """Return the least-squares game."""
    return genbench.AdversarialLoss(games.least_squares_discriminator, games.least_squares_generator, boundary=0.5)


def lsgan_pearson(options: object = None) -> genbench.AdversarialLoss:
    """Return the least-squares game whose targets make it a Pearson χ² divergence."""
    return genbench.AdversarialLoss(games.pearson_discriminator, games.pearson_generator)


def hinge(options: object = None) -> genbench.AdversarialLoss:
    """Return the hinge game."""
    return genbench.AdversarialLoss(games.hinge_discriminator, games.linear_generator)


def relativistic(options: object = None) -> genbench.AdversarialLoss:
    """Return the relativistic average game."""
    generator = games.swapped(games.relativistic_average)
    return genbench.AdversarialLoss(games.relativistic_average, generator, relativistic=True, boundary=None)


def wgan(options: WassersteinOptions) -> genbench.AdversarialLoss:
    """Return the Wasserstein game of a critic with clipped weights."""
    return genbench.AdversarialLoss(
        games.wasserstein_critic, games.linear_generator, boundary=None, clip_weights=options.clip
    )


def wgan_gp(options: GradientPenaltyOptions) -> genbench.AdversarialLoss:
    """Return the Wasserstein game of a critic with a gradient penalty between real images and fakes."""

    def penalty(discriminator: penalties.Discriminator, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        return penalties.one_centred(discriminator, penalties.interpolate(real, fake, rng))

    return genbench.AdversarialLoss(
        games.wasserstein_critic,
        games.linear_generator,
        boundary=None,
        penalty=_times(options.penalty_weight, penalty),
    )


def dragan(options: DraganOptions) -> genbench.AdversarialLoss:
    """Return the non-saturating game with a gradient penalty around real images."""

    def penalty(discriminator: penalties.Discriminator, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        return penalties.one_centred(discriminator, penalties.perturb(real, options.perturbation, rng))

    return genbench.AdversarialLoss(
        _cross_entropy(options), games.non_saturating_generator, penalty=_times(options.penalty_weight, penalty)
    )


def r1(options: R1Options) -> genbench.AdversarialLoss:
    """Return the non-saturating game with a lazy penalty at real images."""

    def penalty(discriminator: penalties.Discriminator, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        return penalties.zero_centred(discriminator, real)

    return genbench.AdversarialLoss(
        _cross_entropy(options),
        games.non_saturating_generator,
        penalty=_times(options.gamma, penalty),
        penalty_every=options.penalty_every,
    )


def rpgan_r1_r2(options: PairedOptions) -> genbench.AdversarialLoss:
    """Return the relativistic game of pairs with penalties at real images and at fakes."""

    def penalty(discriminator: penalties.Discriminator, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        return penalties.zero_centred(discriminator, real) + penalties.zero_centred(discriminator, fake)

    return genbench.AdversarialLoss(
        games.relativistic_pairs,
        games.swapped(games.relativistic_pairs),
        relativistic=True,
        boundary=None,
        penalty=_times(options.gamma, penalty),
        penalty_every=options.penalty_every,
    )


def weighted(options: WeightedOptions) -> genbench.AdversarialLoss:
    """Return another game with the discriminator's loss times α and the generator's times 1 - α."""
    game, alpha = chosen_game("weighted", options.game, options), options.alpha

    def discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return alpha * games.total_of(game.discriminator(real_logits, fake_logits))

    def generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return (1 - alpha) * games.total_of(game.generator(fake_logits, real_logits))

    return replace(game, discriminator=discriminator, generator=generator, alpha=alpha, weighted=True)


_GAMES: dict[str, Callable[[CrossEntropyOptions], genbench.AdversarialLoss]] = {
    "non-saturating": non_saturating,
    "minimax": minimax,
    "lsgan": lsgan,
    "hinge": hinge,
    "relativistic": relativistic,
}


def chosen_game(owner: str, name: str, options: CrossEntropyOptions) -> genbench.AdversarialLoss:
    """Return the game that the loss `owner` builds on; raise `GenbenchError` if label smoothing has no effect on it."""
    if options.label_smoothing and name not in ("non-saturating", "minimax"):
        raise genbench.GenbenchError(
            f"{owner}.label_smoothing = {options.label_smoothing:g} has no effect on the game '{name}'.",
            f"Set it to 0, or set {owner}.game to non-saturating or minimax, whose discriminator is a classifier.",
        )
    return _GAMES[name](options)


def _cross_entropy(options: CrossEntropyOptions) -> games.DiscriminatorLoss:
    return partial(games.binary_cross_entropy, label_smoothing=options.label_smoothing)


def _times(weight: float, penalty: Penalty) -> Penalty | None:
    """Return the weighted penalty; None for a weight of 0, which would cost time and change nothing."""
    if not weight:
        return None

    def weighted_penalty(
        discriminator: penalties.Discriminator, real: Tensor, fake: Tensor, rng: torch.Generator
    ) -> Tensor:
        return weight * penalty(discriminator, real, fake, rng)

    return weighted_penalty
