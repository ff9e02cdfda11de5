"""Adversarial autoencoders (Makhzani et al. 2015): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import genbench

_PAPER = "Makhzani et al. 2015, Adversarial Autoencoders, arXiv:1511.05644"


@dataclass(frozen=True)
class AAEOptions:
    """Options of `aae` and `conditional-aae`."""

    hidden: int = genbench.option(1000, "units of each hidden layer", minimum=4)


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="adversarial-autoencoder",
        summary="an autoencoder whose codes a discriminator cannot tell from draws of N(0, I)",
        create="genbench_autoencoders.adversarial.family:AdversarialAutoencoder",
        networks=("encoder", "decoder", "latent_discriminator"),
        reconstructs=True,
        averaged=("encoder", "decoder"),
        dropout=("latent_discriminator",),
        uses=(),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    common: dict[str, Any] = {
        "family": "adversarial-autoencoder",
        "default_loss": "aae",
        "value_range": (0.0, 1.0),
        "output": "logits",
        "latent_dim": 8,
        "recipe": {"batch_size": 64, "learning_rate": 2e-4, "beta1": 0.5},
        "paper": _PAPER,
        "options": AAEOptions,
    }
    yield genbench.ModelSpec(
        name="aae",
        summary="perceptrons with two hidden layers; a code without noise",
        build="genbench_autoencoders.adversarial.networks:build",
        **common,
    )
    yield genbench.ModelSpec(
        name="conditional-aae",
        summary="`aae` that receives the label, so that the code describes the style",
        build="genbench_autoencoders.adversarial.networks:build_conditional",
        conditional=True,
        **common,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="aae",
        family="adversarial-autoencoder",
        summary="reconstruction, then a game between the encoder and a discriminator of codes",
        create="genbench_autoencoders.adversarial.loss:aae",
        formula="autoencoder: -log p(x|E(x)); discriminator: E softplus(-D(z)) + E softplus(D(E(x))), z ~ N(0, I); "
        "encoder: E softplus(-D(E(x))); three optimisers, in this order",
        source=f"{_PAPER}, section 2",
        options=genbench.LikelihoodOptions,
    )
