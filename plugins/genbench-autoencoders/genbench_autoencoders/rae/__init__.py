"""Regularised autoencoders with a density fitted to their codes (Ghosh et al. 2020): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

_PAPER = "Ghosh et al. 2020, From Variational to Deterministic Autoencoders, arXiv:1903.12436"


@dataclass(frozen=True)
class RAEOptions:
    """Options of the model `rae`."""

    width: int = genbench.option(32, "channels next to the image; the innermost have eight times as many", minimum=2)
    components: int = genbench.option(10, "Gaussians of the mixture that is fitted to the codes", minimum=1)


@dataclass(frozen=True)
class RAELossOptions(genbench.LikelihoodOptions):
    """Options of the loss `rae`."""

    likelihood: Literal["bernoulli", "gaussian", "gaussian-learned", "logistic"] = genbench.option(
        "gaussian", "as for elbo: gaussian is the squared error over 2·sigma²"
    )
    sigma: float = genbench.option(
        0.5**0.5, "as for elbo", minimum=1e-4, maximum=1000, unused_with={"likelihood": ["bernoulli"]}
    )
    beta: float = genbench.option(0.01, "β, weight of ½|z|², which keeps codes small", minimum=0)
    regulariser: Literal["l2", "gradient", "none"] = genbench.option(
        "l2", "of the decoder: its squared weights, the squared norm of its Jacobian, or none"
    )
    weight: float = genbench.option(
        1e-4, "λ, weight of the regulariser", minimum=0, unused_with={"regulariser": ["none"]}
    )


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="regularised",
        summary="an autoencoder without noise; images are drawn from a density fitted to its codes",
        create="genbench_autoencoders.rae.family:Regularised",
        networks=("encoder", "decoder", "density"),
        reconstructs=True,
        averaged=("encoder", "decoder"),
        dropout=("encoder", "decoder"),
        uses=(),
        samplers=(
            genbench.SamplerSpec(name="gaussian", summary="codes of one Gaussian with their mean and covariance"),
            genbench.SamplerSpec(name="standard-normal", summary="codes of N(0, I), as of a VAE"),
        ),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="rae",
        family="regularised",
        summary="four strided convolutions and three transposed ones; codes of a mixture of Gaussians",
        build="genbench_autoencoders.rae.networks:build",
        default_loss="rae",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=16,
        recipe={"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9},
        paper=_PAPER,
        options=RAEOptions,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="rae",
        family="regularised",
        summary="reconstruction, small codes, and a smooth decoder",
        create="genbench_autoencoders.rae.loss:rae",
        formula="-log p(x|z) + β ½|z|² + λ R, z = E(x), R = |θ_D|² (l2) or ½|∂D(z)/∂z|² (gradient), D the decoder",
        source=f"{_PAPER}, equations 8 to 11",
        options=RAELossOptions,
    )
