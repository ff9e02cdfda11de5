"""Built-in variational models: names, options and recipes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench
from genbench.builtin.models.adversarial import DCGANOptions, InfoGANSizes
from genbench.builtin.models.image_shapes import square


@dataclass(frozen=True)
class VAEOptions:
    """Options of `vae` and `cvae`."""

    hidden: int = genbench.option(400, "units of the hidden layers", minimum=8)


_ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999}
_BUILD = "genbench.builtin.models.variational"


def specs() -> Iterable[genbench.ModelSpec]:
    """Yield the variational models."""
    yield genbench.ModelSpec(
        name="vae",
        family="variational",
        summary="multilayer perceptrons with one hidden layer",
        build=f"{_BUILD}.vae:build",
        default_loss="elbo",
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=20,
        recipe={"batch_size": 128, **_ADAM},
        paper="Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114",
        options=VAEOptions,
    )
    yield genbench.ModelSpec(
        name="conv-vae",
        family="variational",
        summary="two strided convolutions and a dense layer per network, for 28, 32 and 64 pixels",
        build=f"{_BUILD}.conv_vae:build",
        default_loss="elbo",
        image_shapes=square(28, 32, 64),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=64,
        recipe={"batch_size": 64, **_ADAM},
        paper="Lucic et al. 2018, Are GANs Created Equal?, arXiv:1711.10337 (the InfoGAN networks as a VAE)",
        options=InfoGANSizes,
    )
    yield genbench.ModelSpec(
        name="dcgan-vae",
        family="variational",
        summary="the networks of dcgan as encoder and decoder, for 28, 32, 64 and 128 pixels; the counterpart of dcgan",
        build=f"{_BUILD}.dcgan_vae:build",
        default_loss="elbo",
        image_shapes=square(28, 32, 64, 128),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=100,
        recipe={"batch_size": 64, **_ADAM},
        paper="Kingma & Welling 2014, arXiv:1312.6114, on the networks of Radford et al. 2015, arXiv:1511.06434",
        options=DCGANOptions,
    )
    yield genbench.ModelSpec(
        name="cvae",
        family="variational",
        summary="multilayer perceptrons with the one-hot label as input",
        build=f"{_BUILD}.cvae:build",
        default_loss="elbo",
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=20,
        recipe={"batch_size": 128, **_ADAM},
        conditional=True,
        paper="Kingma et al. 2014, Semi-supervised Learning with Deep Generative Models, arXiv:1406.5298 (model M2)",
        options=VAEOptions,
    )
