"""Ladder variational autoencoder (Sønderby et al. 2016): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench
from genbench_autoencoders.bound_options import BoundOptions

_PAPER = "Sønderby et al. 2016, Ladder Variational Autoencoders, arXiv:1602.02282"


@dataclass(frozen=True)
class LadderOptions:
    """Options of the model `ladder-vae`."""

    widths: list[int] = genbench.option(  # noqa: RUF009 - the default is copied
        [512, 256, 128, 64, 32], "units of both layers of each level's perceptron; their number is that of the levels"
    )


@dataclass(frozen=True)
class LadderLossOptions(BoundOptions):
    """Options of the loss `ladder-elbo`."""

    warm_up: float = genbench.option(
        0.3, "fraction of the budget over which the weight rises linearly from 0 to beta", minimum=0, maximum=1
    )
    free_bits: float = genbench.option(0.0, "nats of each level's mean KL that are not penalised", minimum=0)


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="ladder",
        summary="a VAE with levels of latents, whose posterior combines evidence from below with the prior from above",
        create="genbench_autoencoders.ladder.family:Ladder",
        networks=("encoder", "decoder"),
        reconstructs=True,
        bounds=True,
        averaged=("encoder", "decoder"),
        dropout=("encoder", "decoder"),
        uses=(),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="ladder-vae",
        family="ladder",
        summary="five levels of latents, perceptrons with batch norm; `latent_dim` is the lowest level",
        build="genbench_autoencoders.ladder.networks:build",
        default_loss="ladder-elbo",
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=64,
        recipe={"batch_size": 128, "learning_rate": 1e-3, "beta1": 0.9},
        restrictions=(
            genbench.Restriction(setting="batch_size", minimum=2, reason="it has batch norm between dense layers"),
        ),
        paper=_PAPER,
        options=LadderOptions,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="ladder-elbo",
        family="ladder",
        summary="reconstruction plus the divergences of all levels, whose weight rises",
        create="genbench_autoencoders.ladder.loss:ladder_elbo",
        formula="E_q[-log p(x|z_1)] + β(t) Σ_i max(λ, E_q KL(q(z_i|z_{i+1}, x) ‖ p(z_i|z_{i+1}))), λ = free_bits",
        source=f"{_PAPER}, equations 1, 8 and section 2.3; free bits: Kingma et al. 2016, arXiv:1606.04934",
        options=LadderLossOptions,
    )
