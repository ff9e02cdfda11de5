"""VAE with a VampPrior (Tomczak & Welling 2018): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench
from genbench_autoencoders.bound_options import BoundOptions

_PAPER = "Tomczak & Welling 2018, VAE with a VampPrior, arXiv:1705.07120"


@dataclass(frozen=True)
class VampOptions:
    """Options of the model `vamp-vae`."""

    hidden: int = genbench.option(300, "units of each hidden layer", minimum=2)
    pseudo_inputs: int = genbench.option(500, "K, trained images whose posteriors are the prior", minimum=1)


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="vamp",
        summary="a VAE whose prior is the mean of the posteriors of trained pseudo-inputs",
        create="genbench_autoencoders.vamp.family:Vamp",
        networks=("encoder", "decoder", "pseudo_inputs"),
        reconstructs=True,
        bounds=True,
        averaged=("encoder", "decoder", "pseudo_inputs"),
        dropout=("encoder", "decoder"),
        uses=(),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="vamp-vae",
        family="vamp",
        summary="perceptrons with two gated hidden layers",
        build="genbench_autoencoders.vamp.networks:build",
        default_loss="vamp-elbo",
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=40,
        recipe={"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9},
        paper=_PAPER,
        options=VampOptions,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="vamp-elbo",
        family="vamp",
        summary="reconstruction plus β times the divergence from the learned prior, from one latent per image",
        create="genbench_autoencoders.bound:bound",
        formula="E_q[-log p(x|z) + β (log q(z|x) - log 1/K Σ_k q(z|u_k))], u_k trained",
        source=f"{_PAPER}, equations 8 to 10",
        options=BoundOptions,
    )
