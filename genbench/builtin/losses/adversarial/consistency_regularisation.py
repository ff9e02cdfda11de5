"""Consistency: the discriminator's logit barely changes with an image's augmentation, or with its latents.

    CR   λ E (D(x) - D(T(x)))²                        Zhang et al. 2020, arXiv:1910.12027, equation 3
    bCR  λ_r E (D(x) - D(T(x)))² + λ_f E (D(G(z)) - D(T(G(z))))²
    zCR  λ_D E (D(G(z)) - D(G(z + δ)))² for the discriminator, and -λ_G E (G(z) - G(z + δ))² for the generator
    ICR  bCR and zCR                                  Zhao et al. 2021, arXiv:2002.04724, section 3

with a random flip and shift T, and δ ~ N(0, σ²). The squares of images are means over their values. With several scales
the squares of logits are means over all of them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import genbench
from genbench.builtin.losses.adversarial import BCROptions, CROptions, ICROptions, ZCROptions
from genbench.builtin.losses.adversarial.create import chosen_game

Augmented = CROptions | BCROptions | ICROptions  # losses with T
Perturbed = ZCROptions | ICROptions  # losses with δ


def cr(options: CROptions) -> genbench.AdversarialLoss:
    """Return a game with consistency of real images."""
    game = chosen_game("cr", options.game, options)

    def terms(batch: genbench.AdversarialBatch) -> genbench.Objective:
        return weighted(consistency_real=(options.weight, real_consistency(batch, options.shift)))

    return replace(game, discriminator_terms=terms)


def bcr(options: BCROptions) -> genbench.AdversarialLoss:
    """Return a game with balanced consistency: of real images and of fakes."""
    return replace(
        chosen_game("bcr", options.game, options), discriminator_terms=lambda batch: _balanced(batch, options)
    )


def zcr(options: ZCROptions) -> genbench.AdversarialLoss:
    """Return a game with consistency in latent space."""
    return replace(
        chosen_game("zcr", options.game, options),
        discriminator_terms=lambda batch: _latent(batch, options),
        generator_terms=lambda batch: _sensitive(batch, options),
    )


def icr(options: ICROptions) -> genbench.AdversarialLoss:
    """Return a game with both."""

    def terms(batch: genbench.AdversarialBatch) -> genbench.Objective:
        balanced, latent = _balanced(batch, options), _latent(batch, options)
        return genbench.Objective(balanced.total + latent.total, {**balanced.terms, **latent.terms})

    return replace(
        chosen_game("icr", options.game, options),
        discriminator_terms=terms,
        generator_terms=lambda batch: _sensitive(batch, options),
    )


def real_consistency(batch: genbench.AdversarialBatch, shift: int) -> Tensor:
    """E (D(x) - D(T(x)))²."""
    assert batch.real_logits is not None  # in the discriminator's update
    return _distance(batch.real_logits, batch.discriminate(flipped_and_shifted(batch.real, shift, batch.rng)))


def fake_consistency(batch: genbench.AdversarialBatch, shift: int) -> Tensor:
    """E (D(G(z)) - D(T(G(z))))²."""
    return _distance(batch.fake_logits, batch.discriminate(flipped_and_shifted(batch.fake, shift, batch.rng)))


def latent_consistency(batch: genbench.AdversarialBatch, noise: float) -> Tensor:
    """E (D(G(z)) - D(G(z + δ)))²."""
    return _distance(batch.fake_logits, batch.discriminate(batch.generate(perturbed(batch, noise))))


def latent_sensitivity(batch: genbench.AdversarialBatch, noise: float) -> Tensor:
    """E (G(z) - G(z + δ))², which the generator maximises."""
    return _distance(batch.fake, batch.generate(perturbed(batch, noise)))


def perturbed(batch: genbench.AdversarialBatch, noise: float) -> Tensor:
    """Return z + δ."""
    latents = batch.latents
    drawn = torch.randn(latents.shape, generator=batch.rng, device=latents.device, dtype=latents.dtype)
    return latents + noise * drawn


def flipped_and_shifted(images: Tensor, shift: int, rng: torch.Generator) -> Tensor:
    """Return each image mirrored with probability ½ and moved by up to `shift` pixels, edges repeated."""
    count, channels, height, width = images.shape

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count, 1), generator=rng, device=images.device)

    rows = (torch.arange(height, device=images.device) + draw(-shift, shift)).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + draw(-shift, shift)).clamp(0, width - 1)
    columns = torch.where(draw(0, 1) > 0, width - 1 - columns, columns)
    image = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def weighted(**terms: tuple[float, Tensor]) -> genbench.Objective:
    """Return the weighted sum of terms, and the terms themselves; those with a weight of 0 are still recorded."""
    total = torch.stack([weight * term for weight, term in terms.values()]).sum()
    return genbench.Objective(total, {name: term for name, (_, term) in terms.items()})


def _balanced(batch: genbench.AdversarialBatch, options: BCROptions | ICROptions) -> genbench.Objective:
    return weighted(
        consistency_real=(options.real, real_consistency(batch, options.shift)),
        consistency_fake=(options.fake, fake_consistency(batch, options.shift)),
    )


def _latent(batch: genbench.AdversarialBatch, options: Perturbed) -> genbench.Objective:
    return weighted(consistency_latent=(options.discriminator, latent_consistency(batch, options.noise)))


def _sensitive(batch: genbench.AdversarialBatch, options: Perturbed) -> genbench.Objective:
    return weighted(sensitivity=(-options.generator, latent_sensitivity(batch, options.noise)))


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (one.float() - other.float()).square().mean()
