"""The family and model `factor-vae` and the loss `factor`: names and options, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench


@dataclass(frozen=True)
class FactorVAEOptions:
    """Options of the model `factor-vae`."""

    width: int = genbench.option(32, "channels next to the image; the inner convolutions have twice as many", minimum=4)
    hidden: int = genbench.option(128, "units of the dense layers", minimum=8)
    discriminator_width: int = genbench.option(1000, "units of each of the discriminator's six layers", minimum=8)


@dataclass(frozen=True)
class FactorOptions:
    """Options of the loss `factor`."""

    gamma: float = genbench.option(10.0, "γ, weight of the total correlation; 0: a plain VAE", minimum=0)
    likelihood: Literal["bernoulli", "gaussian"] = genbench.option(
        "bernoulli", "bernoulli: cross-entropy of the pixels; gaussian: squared error over 2·sigma²"
    )
    sigma: float = genbench.option(1.0, "gaussian: standard deviation of a pixel", minimum=1e-4, maximum=1000)
    discriminator_beta1: float = genbench.option(
        0.5, "adam, adamw: decay of the first moment of the discriminator", minimum=0, maximum=1
    )
    discriminator_beta2: float = genbench.option(
        0.9, "adam, adamw: decay of the second moment of the discriminator", minimum=0, maximum=1
    )


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="factor-vae",
        summary="encoder, decoder, and a discriminator that distinguishes latents from independent ones",
        create="genbench_factor_vae.family:FactorVAE",
        networks=("encoder", "decoder", "discriminator"),
        reconstructs=True,
        bounds=True,
        averaged=("encoder", "decoder"),
        dropout=("encoder", "decoder"),
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="factor-vae",
        family="factor-vae",
        summary="convolutional encoder and decoder, and a perceptron on the latents, for 28, 32 and 64 pixels",
        build="genbench_factor_vae.networks:build",
        default_loss="factor",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=10,
        recipe={"batch_size": 64, "learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.999},
        paper="Kim & Mnih 2018, Disentangling by Factorising, arXiv:1802.05983",
        options=FactorVAEOptions,
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="factor",
        family="factor-vae",
        summary="elbo with an extra weight on the total correlation of the latents, estimated by a discriminator",
        create="genbench_factor_vae.loss:factor",
        formula="E_q[-log p(x|z)] + KL(q(z|x) ‖ p(z)) + γ E_q(z)[D₀(z) - D₁(z)]; discriminator: "
        "½ CE(D(z), 0) + ½ CE(D(z'), 1), z' of other images, each latent permuted across images",
        source="Kim & Mnih 2018, arXiv:1802.05983, equations 2 and 3, algorithms 1 and 2",
        options=FactorOptions,
    )
