"""SAGAN, BigGAN and Projected GAN: residual generators, spectral norm in both networks, frozen features if wanted.

genbench reads this module without importing torch; the implementation is in the other modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import genbench

requires_api = "1.4"


@dataclass(frozen=True)
class SAGANOptions:
    """Options of `sagan` and `sagan-unconditional`."""

    width: int = genbench.option(16, "channels next to the image, in both networks; the papers' is 64", minimum=8)
    attention: Literal["half", "quarter", "none"] = genbench.option(
        "quarter", "side of the maps with self-attention, as a share of the image's; none: no attention"
    )


@dataclass(frozen=True)
class BigGANOptions:
    """Options of `biggan` and `biggan-unconditional`."""

    width: int = genbench.option(16, "channels next to the image, in both networks; the paper's is 96", minimum=8)
    attention: Literal["half", "quarter", "none"] = genbench.option(
        "half", "side of the maps with self-attention, as a share of the image's; none: no attention"
    )
    embedding: int = genbench.option(128, "values of the class embedding that all layers share", minimum=1)


@dataclass(frozen=True)
class ProjectedOptions:
    """Options of `projected-gan`."""

    width: int = genbench.option(
        16, "the generator's channels next to the image; a discriminator has four times as many", minimum=8
    )
    attention: Literal["half", "quarter", "none"] = genbench.option(
        "none", "side of the generator's maps with self-attention, as a share of the image's; none: no attention"
    )
    features: Literal["fashion-cnn", "inception"] = genbench.option(
        "fashion-cnn",
        "frozen network whose features the discriminators see: a classifier of clothes, or Inception (--weights)",
    )
    mixing: Literal["scales", "channels", "none"] = genbench.option(
        "scales", "random mixing of the features: across channels and scales, across channels alone, or none"
    )


_SHAPES = tuple((channels, size, size) for size in (28, 32, 64, 128) for channels in (1, 3))
_SAGAN: Mapping[str, Any] = {
    "family": "adversarial",
    "default_loss": "hinge",
    "image_shapes": _SHAPES,
    "latent_dim": 128,
    "discriminator_output": "logits",
    "recipe": {
        "batch_size": 64,
        "learning_rate": 1e-4,
        "discriminator_learning_rate": 4e-4,  # two time scales: Zhang et al. 2019, section 4
        "beta1": 0.0,
        "beta2": 0.9,
    },
    "paper": "Zhang et al. 2019, Self-Attention Generative Adversarial Networks, arXiv:1805.08318",
    "options": SAGANOptions,
}
_BIGGAN: Mapping[str, Any] = {
    "family": "adversarial",
    "default_loss": "hinge",
    "image_shapes": _SHAPES,
    "latent_dim": 120,  # divided evenly among the stages of all sizes
    "discriminator_output": "logits",
    "orthogonal": ("generator",),
    "recipe": {
        "batch_size": 64,
        "learning_rate": 5e-5,
        "discriminator_learning_rate": 2e-4,
        "discriminator_steps": 2,
        "beta1": 0.0,
        "beta2": 0.999,
        "orthogonal": 1e-4,  # of the generator: Brock et al. 2019, section 3.1
        "ema_half_life": 500_000.0,  # ema_ramp shortens it for short runs
    },
    "paper": "Brock et al. 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis, arXiv:1809.11096",
    "options": BigGANOptions,
}


_PROJECTED: Mapping[str, Any] = {
    "family": "adversarial",
    "default_loss": "hinge",
    "image_shapes": _SHAPES,
    "latent_dim": 128,
    "discriminator_output": "scales",
    "recipe": {
        "batch_size": 64,
        "learning_rate": 2e-4,
        "beta1": 0.0,
        "beta2": 0.99,
        "augment_discriminator": "diffaugment",
    },
    "paper": "Sauer et al. 2021, Projected GANs Converge Faster, arXiv:2111.01007",
    "options": ProjectedOptions,
}


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    yield genbench.ModelSpec(
        name="sagan",
        summary="residual blocks, self-attention and spectral norm in both networks; class-conditional",
        build="genbench_attention_gan.sagan:build",
        conditional=True,
        **_SAGAN,
    )
    yield genbench.ModelSpec(
        name="sagan-unconditional",
        summary="sagan without labels",
        build="genbench_attention_gan.sagan:build_unconditional",
        **_SAGAN,
    )
    yield genbench.ModelSpec(
        name="biggan",
        summary="sagan whose latents and shared class embedding act on every stage; class-conditional",
        build="genbench_attention_gan.biggan:build",
        conditional=True,
        **_BIGGAN,
    )
    yield genbench.ModelSpec(
        name="biggan-unconditional",
        summary="biggan without labels: the latents alone act on every stage",
        build="genbench_attention_gan.biggan:build_unconditional",
        **_BIGGAN,
    )
    yield genbench.ModelSpec(
        name="projected-gan",
        summary="discriminators of randomly mixed features of a frozen network; the generator of sagan",
        build="genbench_attention_gan.projected:build",
        **_PROJECTED,
    )
