"""VQ-VAE-2 with two levels of codes and their priors (Razavi et al. 2019): names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import genbench

_PAPER = "Razavi et al. 2019, Generating Diverse High-Fidelity Images with VQ-VAE-2, arXiv:1906.00446"


@dataclass(frozen=True)
class VQVAE2Options:
    """Options of `vq-vae-2` and `conditional-vq-vae-2`."""

    codes: int = genbench.option(512, "K, code vectors of each codebook; each has latent_dim values", minimum=2)
    width: int = genbench.option(64, "channels of the inner convolutions (the paper: 128)", minimum=4)
    residual_width: int = genbench.option(32, "channels inside the residual blocks (the paper: 64)", minimum=1)
    codebook_decay: float = genbench.option(
        0.99,
        "decay of the averages that code vectors follow; 0: they are parameters trained by the codebook term",
        minimum=0,
        maximum=0.9999,
    )
    prior_width: int = genbench.option(64, "channels of both priors", minimum=4)
    prior_layers: int = genbench.option(6, "gated layers of each prior", minimum=1)


@dataclass(frozen=True)
class VQ2Options(genbench.LikelihoodOptions):
    """Options of `vq-2`."""

    likelihood: Literal["bernoulli", "gaussian", "gaussian-learned", "logistic"] = genbench.option(
        "gaussian", "as for elbo: gaussian is the squared error over 2·sigma²"
    )
    sigma: float = genbench.option(
        0.1, "as for vq", minimum=1e-4, maximum=1000, unused_with={"likelihood": ["bernoulli"]}
    )
    commitment: float = genbench.option(0.25, "β, weight of the commitment terms", minimum=0)


def families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="vq-vae-2",
        summary="an autoencoder over two grids of codes, and a prior for each: the coarse one, then the fine one",
        create="genbench_autoencoders.vq_vae_2.family:VQVAE2",
        networks=(
            *("bottom_encoder", "top_encoder", "top_codebook", "conditional_encoder", "bottom_codebook", "decoder"),
            *("top_prior", "bottom_prior"),
        ),
        reconstructs=True,
        bounds=True,
        averaged=(
            *("bottom_encoder", "top_encoder", "top_codebook", "conditional_encoder", "bottom_codebook", "decoder"),
            *("top_prior", "bottom_prior"),
        ),
        uses=(),
    )


def models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    common: dict[str, Any] = {
        "family": "vq-vae-2",
        "default_loss": "vq-2",
        "image_shapes": tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        "value_range": (0.0, 1.0),
        "output": "logits",
        "latent_dim": 64,
        "recipe": {"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9},
        "paper": _PAPER,
        "options": VQVAE2Options,
    }
    yield genbench.ModelSpec(
        name="vq-vae-2",
        summary="grids of 1/8 and 1/4 of the image, and two PixelCNN",
        build="genbench_autoencoders.vq_vae_2.networks:build",
        **common,
    )
    yield genbench.ModelSpec(
        name="conditional-vq-vae-2",
        summary="`vq-vae-2` whose priors receive the label",
        build="genbench_autoencoders.vq_vae_2.networks:build_conditional",
        conditional=True,
        **common,
    )


def losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="vq-2",
        family="vq-vae-2",
        summary="reconstruction, and terms that pull code vectors and encodings of both levels together",
        create="genbench_autoencoders.vq_vae_2.loss:vq_2",
        formula="-log p(x|e_t, e_b) + Σ over both levels of Σ|sg[z_e] - e|² + β Σ|z_e - sg[e]|²; the priors minimise "
        "-log p(codes_t) - log p(codes_b|codes_t), code by code",
        source=f"{_PAPER}, algorithms 1 and 2",
        options=VQ2Options,
    )
