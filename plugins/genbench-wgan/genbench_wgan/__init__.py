"""Wasserstein GANs: two losses that genbench does not include, and networks whose critic has no batch norm.

genbench reads this module without importing torch; the implementation is in `losses` and `networks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

requires_api = "1.0"


@dataclass(frozen=True)
class CriticOptions:
    """Options of `wgan-critic`."""

    width: int = genbench.option(64, "channels next to the image, in both networks", minimum=4)
    norm: Literal["layer", "none"] = genbench.option(
        "layer", "normalisation in the critic, separately for each image; none: no norm, and biases instead"
    )


@dataclass(frozen=True)
class LipschitzOptions:
    """Options of `wgan-lp`."""

    penalty_weight: float = genbench.option(10.0, "weight λ of the penalty; 0: none", minimum=0)


@dataclass(frozen=True)
class DivergenceOptions:
    """Options of `wgan-div`."""

    penalty_weight: float = genbench.option(2.0, "weight k of the penalty; 0: none", minimum=0)
    power: float = genbench.option(6.0, "power p of the gradient's norm", minimum=2, maximum=20)


# The recipe of wgan-gp (Gulrajani et al. 2017, algorithm 1), so the three losses differ only in their penalty.
_RECIPE: dict[str, str | int | float] = {
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "beta1": 0.0,
    "beta2": 0.9,
    "discriminator_steps": 5,
}


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the networks."""
    yield genbench.ModelSpec(
        name="wgan-critic",
        family="adversarial",
        summary="dcgan whose critic has layer norm, or no norm, instead of batch norm; for 28, 32 and 64 pixels",
        build="genbench_wgan.networks:build",
        default_loss="wgan-gp",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        latent_dim=100,
        recipe={"batch_size": 64},
        paper="Radford et al. 2015, arXiv:1511.06434, with the critic of Gulrajani et al. 2017, arXiv:1704.00028",
        options=CriticOptions,
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the losses."""
    yield genbench.LossSpec(
        name="wgan-lp",
        family="adversarial",
        summary="wgan-gp that penalises only gradients above norm 1; D should have no batch norm",
        create="genbench_wgan.losses:one_sided",
        formula=(
            "L_D = E D(G(z)) - E D(x) + λ E max(0, ‖∇D(εx + (1-ε)G(z))‖ - 1)², ε ~ U(0, 1) per image, L_G = -E D(G(z))"
        ),
        source="Petzka et al. 2018, On the Regularization of Wasserstein GANs, arXiv:1709.08894 (WGAN-LP)",
        options=LipschitzOptions,
        recipe=_RECIPE,
    )
    yield genbench.LossSpec(
        name="wgan-div",
        family="adversarial",
        summary="penalises a high power of the critic's gradient instead of fixing its norm; no batch norm in D",
        create="genbench_wgan.losses:divergence",
        formula="L_D = E D(G(z)) - E D(x) + k E ‖∇D(εx + (1-ε)G(z))‖^p, ε ~ U(0, 1) per image, L_G = -E D(G(z))",
        source="Wu et al. 2018, Wasserstein Divergence for GANs, arXiv:1712.01026 (WGAN-div)",
        options=DivergenceOptions,
        recipe=_RECIPE,
    )
