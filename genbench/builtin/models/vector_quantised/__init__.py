"""Built-in vector-quantised models: names, options and recipes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench
from genbench.builtin.models.image_shapes import square


@dataclass(frozen=True)
class VQVAEOptions:
    """Options of `vq-vae`."""

    codes: int = genbench.option(512, "K, code vectors in the codebook; each has latent_dim values", minimum=2)
    width: int = genbench.option(128, "channels of the inner convolutions; the outer ones have half as many", minimum=4)
    residual_width: int = genbench.option(32, "channels inside the residual blocks", minimum=1)
    codebook_decay: float = genbench.option(
        0.99,
        "decay of the averages that code vectors follow; 0: they are parameters trained by the codebook term",
        minimum=0,
        maximum=0.9999,
    )
    prior_width: int = genbench.option(64, "channels of the prior", minimum=4)
    prior_layers: int = genbench.option(
        6, "gated layers of the prior, and rows and columns in its receptive field", minimum=1
    )


def specs() -> Iterable[genbench.ModelSpec]:
    """Yield the vector-quantised models."""
    yield genbench.ModelSpec(
        name="vq-vae",
        family="vector-quantised",
        summary="residual convolutions over a grid of discrete codes with a PixelCNN prior, for 28, 32 and 64 pixels",
        build="genbench.builtin.models.vector_quantised.vq_vae:build",
        default_loss="vq",
        image_shapes=square(28, 32, 64),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=64,
        recipe={"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999},
        paper="van den Oord et al. 2017, Neural Discrete Representation Learning, arXiv:1711.00937",
        options=VQVAEOptions,
    )
