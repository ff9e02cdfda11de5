"""The built-in families."""

from __future__ import annotations

from collections.abc import Iterable

import genbench


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the built-in families."""
    yield genbench.FamilySpec(
        name="adversarial",
        summary="generator and discriminator; loss: an AdversarialLoss on logits",
        create="genbench.builtin.families.adversarial:Adversarial",
        networks=("generator", "discriminator"),
        averaged=("generator",),
        dropout=("discriminator",),
        uses=("discriminator_steps", "augment_discriminator"),
    )
    yield genbench.FamilySpec(
        name="variational",
        summary="encoder and decoder of latents; loss: a VariationalLoss",
        create="genbench.builtin.families.variational:Variational",
        networks=("encoder", "decoder"),
        reconstructs=True,
        bounds=True,
        dropout=("encoder", "decoder"),
        uses=(),
    )
    yield genbench.FamilySpec(
        name="vector-quantised",
        summary="autoencoder over a grid of discrete codes, and a prior over such grids",
        create="genbench.builtin.families.vector_quantised:VectorQuantised",
        networks=("encoder", "codebook", "decoder", "prior"),
        reconstructs=True,
        dropout=("encoder", "decoder", "prior"),
        uses=(),
    )
