"""VEEGAN, with a reconstructor of latents, and a GAN that grows progressively.

genbench reads this module without importing torch; the implementation is in the other modules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.3"


@dataclass(frozen=True)
class VEEGANOptions:
    """Options of the model `veegan`."""

    width: int = genbench.option(
        128,
        "units of the hidden layers; the generator's second and the reconstructor's first have twice as many",
        minimum=8,
    )


@dataclass(frozen=True)
class ReconstructionOptions:
    """Options of the loss `veegan`."""

    weight: float = genbench.option(1.0, "weight of the reconstruction error of the latents", minimum=0)


@dataclass(frozen=True)
class GrowingOptions:
    """Options of `pggan`."""

    width: int = genbench.option(
        32, "channels of the maps up to 32 × 32, halved at each larger size; the paper's is 512", minimum=8
    )
    fade: float = genbench.option(
        0.5, "share of each stage after the first in which its layers are faded in", minimum=0.01, maximum=1
    )
    grown: float = genbench.option(
        0.6, "share of the budget after which all layers are in full use", minimum=0.01, maximum=1
    )


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="veegan",
        summary="a generator, a reconstructor of its latents, and a discriminator of pairs of latents and images",
        create="genbench_adversarial.veegan:VEEGAN",
        networks=("generator", "reconstructor", "discriminator"),
        averaged=("generator",),
        dropout=("discriminator",),
        uses=(),
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    yield genbench.ModelSpec(
        name="veegan",
        family="veegan",
        summary="multilayer perceptrons",
        build="genbench_adversarial.veegan_networks:build",
        default_loss="veegan",
        latent_dim=100,
        recipe={"batch_size": 64, "learning_rate": 2e-4, "beta1": 0.5},
        paper="Srivastava et al. 2017, VEEGAN: Reducing Mode Collapse in GANs, arXiv:1705.07761",
        options=VEEGANOptions,
    )
    yield genbench.ModelSpec(
        name="pggan",
        family="adversarial",
        summary="layers for larger maps are faded in during training, for 28, 32, 64 and 128 pixels",
        build="genbench_adversarial.pggan:build",
        default_loss="r1",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64, 128) for channels in (1, 3)),
        latent_dim=128,
        discriminator_output="logits",
        recipe={
            "batch_size": 64,
            "learning_rate": 1e-3,
            "beta1": 0.0,
            "beta2": 0.99,
            "ema_half_life": 10_000.0,  # ema_ramp shortens it for short runs
        },
        paper="Karras et al. 2018, Progressive Growing of GANs, arXiv:1710.10196",
        options=GrowingOptions,
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="veegan",
        family="veegan",
        summary="a game on pairs of latents and images, and the reconstruction error of the latents",
        create="genbench_adversarial.veegan:Reconstruction",
        formula="L_D = E softplus(-D(z, G(z))) + E softplus(D(F(x), x)), L_G = E D(z, G(z)) + λ E |z - F(G(z))|², "
        "L_F = λ E |z - F(G(z))|²; |·|² is the mean over the latents",
        source="Srivastava et al. 2017, arXiv:1705.07761, equation 3 and algorithm 1",
        options=ReconstructionOptions,
    )
