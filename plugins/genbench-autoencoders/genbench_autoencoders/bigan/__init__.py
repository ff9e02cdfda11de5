"""Adversarially learned inference (Dumoulin et al. 2017) and BiGAN (Donahue et al. 2017): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import genbench

_ALI = "Dumoulin et al. 2017, Adversarially Learned Inference, arXiv:1606.00704"
_BIGAN = "Donahue et al. 2017, Adversarial Feature Learning, arXiv:1605.09782"


@dataclass(frozen=True)
class BiGANOptions:
    """Options of `ali` and `bigan`."""

    width: int = genbench.option(
        16, "channels next to the image, 1/16 of the inner ones (the paper of ALI: 32)", minimum=2
    )
    activation: Literal["leaky", "maxout"] = genbench.option(
        "leaky", "of the discriminator: LeakyReLU, or the maximum of two maps, which doubles its size (as in the paper)"
    )


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="bigan",
        summary="a discriminator tells pairs of image and code from pairs of generated image and latent",
        create="genbench_autoencoders.bigan.family:BiGAN",
        networks=("encoder", "generator", "joint_discriminator"),
        reconstructs=True,
        averaged=("encoder", "generator"),
        dropout=("joint_discriminator",),
        uses=(),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    common: dict[str, Any] = {
        "family": "bigan",
        "default_loss": "joint-game",
        "image_shapes": tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        "value_range": (0.0, 1.0),
        "latent_dim": 64,
        "recipe": {"batch_size": 64, "learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.999},
        "restrictions": (
            genbench.Restriction(
                setting="dropout",
                maximum=0,
                reason="its discriminator has no activation layers after which values could be dropped",
                options={"activation": "maxout"},
            ),
        ),
        "options": BiGANOptions,
    }
    yield genbench.ModelSpec(
        name="ali",
        summary="convolutions without padding; the encoder draws from a Gaussian",
        build="genbench_autoencoders.bigan.networks:build_ali",
        paper=_ALI,
        **common,
    )
    yield genbench.ModelSpec(
        name="bigan",
        summary="`ali` whose encoder returns one code, without noise",
        build="genbench_autoencoders.bigan.networks:build_bigan",
        paper=_BIGAN,
        **common,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="joint-game",
        family="bigan",
        summary="the non-saturating game over pairs of image and latent",
        create="genbench_autoencoders.bigan.loss:JointGame",
        formula="discriminator: E softplus(-D(x, E(x))) + E softplus(D(G(z), z)); encoder and generator: "
        "E softplus(D(x, E(x))) + E softplus(-D(G(z), z)); one pass, both updates",
        source=f"{_ALI}, algorithm 1; {_BIGAN}, section 3.4",
    )
