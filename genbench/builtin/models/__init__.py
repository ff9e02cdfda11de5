"""Built-in models: what they are called and what they take; the networks lie one file per model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench


@dataclass(frozen=True)
class GANOptions:
    """Options of `gan`."""

    width: int = genbench.option(128, "units of the generator's first layer; the others are multiples of it", minimum=8)


@dataclass(frozen=True)
class DCGANOptions:
    """Options of `dcgan`."""

    width: int = genbench.option(64, "channels next to the image, of both networks (ngf = ndf)", minimum=4)


@dataclass(frozen=True)
class VAEOptions:
    """Options of `vae`."""

    hidden: int = genbench.option(400, "units of the hidden layers", minimum=8)


@dataclass(frozen=True)
class ConvVAEOptions:
    """Options of `conv-vae`."""

    width: int = genbench.option(64, "channels of the outer convolutions; the inner ones have twice as many", minimum=4)
    hidden: int = genbench.option(1024, "units of the dense layers", minimum=8)


def _square(*sizes: int) -> tuple[genbench.Shape, ...]:
    return tuple((channels, size, size) for size in sizes for channels in (1, 3))


_VAE_ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999}


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the built-in models."""
    yield genbench.ModelSpec(
        name="gan",
        family="adversarial",
        summary="multilayer perceptrons",
        build="genbench.builtin.models.gan:build",
        default_loss="non-saturating",
        latent_dim=100,
        recipe={"batch_size": 64, "learning_rate": 2e-4, "beta1": 0.5},
        paper="Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
        options=GANOptions,
    )
    yield genbench.ModelSpec(
        name="dcgan",
        family="adversarial",
        summary="strided and transposed convolutions with batch norm, for 28, 32, 64 and 128 pixels",
        build="genbench.builtin.models.dcgan:build",
        default_loss="non-saturating",
        image_shapes=_square(28, 32, 64, 128),
        latent_dim=100,
        recipe={"batch_size": 64, "learning_rate": 2e-4, "beta1": 0.5},
        paper="Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434",
        options=DCGANOptions,
    )
    yield genbench.ModelSpec(
        name="vae",
        family="variational",
        summary="multilayer perceptrons with one hidden layer",
        build="genbench.builtin.models.vae:build",
        default_loss="elbo",
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=20,
        recipe={"batch_size": 128, **_VAE_ADAM},
        paper="Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114",
        options=VAEOptions,
    )
    yield genbench.ModelSpec(
        name="conv-vae",
        family="variational",
        summary="two strided convolutions and a dense layer each way, for 28, 32 and 64 pixels",
        build="genbench.builtin.models.conv_vae:build",
        default_loss="elbo",
        image_shapes=_square(28, 32, 64),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=64,
        recipe={"batch_size": 64, **_VAE_ADAM},
        paper="Lucic et al. 2018, Are GANs Created Equal?, arXiv:1711.10337 (the InfoGAN networks as a VAE)",
        options=ConvVAEOptions,
    )
