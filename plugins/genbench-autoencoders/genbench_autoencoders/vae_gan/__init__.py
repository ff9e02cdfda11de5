"""VAE-GAN (Larsen et al. 2016): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench


@dataclass(frozen=True)
class VAEGANOptions:
    """Options of the model `vae-gan`."""

    width: int = genbench.option(64, "channels next to the image; the inner convolutions have twice as many", minimum=4)


@dataclass(frozen=True)
class SimilarityOptions:
    """Options of the loss `learned-similarity`."""

    gamma: float = genbench.option(
        0.01, "γ, weight of the reconstruction in the decoder's objective, next to the game", minimum=0
    )


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="vae-gan",
        summary="encoder, decoder, and a discriminator whose features compare images; one pass, three updates",
        create="genbench_autoencoders.vae_gan.family:VAEGAN",
        networks=("encoder", "decoder", "discriminator"),
        reconstructs=True,
        averaged=("encoder", "decoder"),
        dropout=("discriminator",),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="vae-gan",
        family="vae-gan",
        summary="two convolutions and a dense layer per network, for sides that are multiples of 4",
        build="genbench_autoencoders.vae_gan.networks:build",
        default_loss="learned-similarity",
        image_shapes=genbench.ShapeRule(multiple_of=4, minimum=8),
        latent_dim=64,
        discriminator_output="features",
        recipe={"batch_size": 64, "learning_rate": 3e-4, "beta1": 0.5},
        paper="Larsen et al. 2016, Autoencoding beyond pixels using a learned similarity metric, arXiv:1512.09300",
        options=VAEGANOptions,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="learned-similarity",
        family="vae-gan",
        summary="elbo whose reconstruction term compares features of the discriminator, and a game",
        create="genbench_autoencoders.vae_gan.loss:LearnedSimilarity",
        formula="encoder: KL(q(z|x) ‖ p(z)) + S; decoder: γ S + E softplus(-D(x̃)) + E softplus(-D(x_p)); "
        "discriminator: E softplus(-D(x)) + E softplus(D(x̃)) + E softplus(D(x_p)); S = ½ E ‖f(x) - f(x̃)‖², f the "
        "features of D, x̃ the reconstruction of x, x_p an image of the prior",
        source="Larsen et al. 2016, arXiv:1512.09300, equations 5 to 8 and algorithm 1",
        options=SimilarityOptions,
        discriminator_outputs=("features",),
    )
