"""Built-in adversarial models: names, options and recipes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench
from genbench.builtin.models.image_shapes import square


@dataclass(frozen=True)
class GANOptions:
    """Options of `gan` and `cgan`."""

    width: int = genbench.option(
        128, "units of the generator's first layer; the other layers are multiples of it", minimum=8
    )


@dataclass(frozen=True)
class DCGANOptions:
    """Options of `dcgan` and of the models built from its stages."""

    width: int = genbench.option(64, "channels of the layer next to the image, in both networks (ngf = ndf)", minimum=4)


@dataclass(frozen=True)
class CDCGANOptions(DCGANOptions):
    """Options of `cdcgan`."""

    embedding: int = genbench.option(50, "dimension of the label embedding in the generator's input", minimum=1)


@dataclass(frozen=True)
class InfoGANSizes:
    """Options of `conv-vae`, and some of those of `infogan-28`."""

    width: int = genbench.option(64, "channels of the outer convolutions; the inner ones have twice as many", minimum=4)
    hidden: int = genbench.option(1024, "units of the dense layers", minimum=8)


@dataclass(frozen=True)
class InfoGANOptions(InfoGANSizes):
    """Options of `infogan-28`."""

    norm: Literal["batch", "none"] = genbench.option(
        "batch", "normalisation in the discriminator; none: for losses with a gradient penalty per image"
    )


@dataclass(frozen=True)
class ResNetGANOptions:
    """Options of `resnet-gan`."""

    width: int = genbench.option(64, "base number of channels; all layers are multiples of it", minimum=4)
    norm: Literal["spectral", "layer", "none"] = genbench.option(
        "spectral", "normalisation in the discriminator; layer or none: for wgan-gp"
    )


@dataclass(frozen=True)
class BEGANOptions:
    """Options of `began`."""

    width: int = genbench.option(64, "channels n of the decoders; the encoder's maps have multiples of it", minimum=4)


_ADAM = {"batch_size": 64, "learning_rate": 2e-4, "beta1": 0.5}
_BUILD = "genbench.builtin.models.adversarial"


def specs() -> Iterable[genbench.ModelSpec]:
    """Yield the adversarial models."""
    yield genbench.ModelSpec(
        name="gan",
        family="adversarial",
        summary="multilayer perceptrons",
        build=f"{_BUILD}.gan:build",
        default_loss="non-saturating",
        latent_dim=100,
        recipe=_ADAM,
        discriminator_output="logits",
        paper="Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
        options=GANOptions,
    )
    yield genbench.ModelSpec(
        name="dcgan",
        family="adversarial",
        summary="strided and transposed convolutions with batch norm, for 28, 32, 64 and 128 pixels",
        build=f"{_BUILD}.dcgan:build",
        default_loss="non-saturating",
        image_shapes=square(28, 32, 64, 128),
        latent_dim=100,
        recipe=_ADAM,
        discriminator_output="logits",
        paper="Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434",
        options=DCGANOptions,
    )
    yield genbench.ModelSpec(
        name="dcgan-dense",
        family="adversarial",
        summary="dcgan with a dense first layer and leaky activations in the generator",
        build=f"{_BUILD}.dcgan_dense:build",
        default_loss="non-saturating",
        image_shapes=square(28, 32, 64, 128),
        latent_dim=100,
        recipe=_ADAM,
        discriminator_output="logits",
        paper="Radford et al. 2015, arXiv:1511.06434, as in introductory articles on generated faces",
        options=DCGANOptions,
    )
    yield genbench.ModelSpec(
        name="infogan-28",
        family="adversarial",
        summary="two convolutions and a dense layer per network, for 28 pixels; the counterpart of conv-vae",
        build=f"{_BUILD}.infogan:build",
        default_loss="non-saturating",
        image_shapes=square(28),
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=64,
        prior="uniform",
        recipe=_ADAM,
        discriminator_output="logits",
        paper="Chen et al. 2016, arXiv:1606.03657, as compared by Lucic et al. 2018, arXiv:1711.10337",
        options=InfoGANOptions,
    )
    yield genbench.ModelSpec(
        name="sn-dcgan",
        family="adversarial",
        summary="convolutions, with spectral norm in every layer of the discriminator, for 28 to 128 pixels",
        build=f"{_BUILD}.sn_dcgan:build",
        default_loss="hinge",
        image_shapes=square(28, 32, 48, 64, 128),
        latent_dim=128,
        recipe=_ADAM,
        discriminator_output="logits",
        paper="Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957",
        options=DCGANOptions,
    )
    yield genbench.ModelSpec(
        name="resnet-gan",
        family="adversarial",
        summary="residual blocks, for 32 and 64 pixels",
        build=f"{_BUILD}.resnet_gan:build",
        default_loss="hinge",
        image_shapes=square(32, 64),
        latent_dim=128,
        recipe={**_ADAM, "beta1": 0.0, "beta2": 0.9, "discriminator_steps": 5},
        discriminator_output="logits",
        paper="Gulrajani et al. 2017, arXiv:1704.00028; Miyato et al. 2018, arXiv:1802.05957",
        options=ResNetGANOptions,
    )
    yield genbench.ModelSpec(
        name="began",
        family="adversarial",
        summary="a discriminator that is an autoencoder, for 28, 32, 64 and 128 pixels",
        build=f"{_BUILD}.began:build",
        default_loss="began",
        image_shapes=square(28, 32, 64, 128),
        latent_dim=64,
        prior="uniform",
        recipe=_ADAM,
        discriminator_output="coded-reconstructions",
        paper="Berthelot et al. 2017, BEGAN: Boundary Equilibrium Generative Adversarial Networks, arXiv:1703.10717",
        options=BEGANOptions,
    )
    yield genbench.ModelSpec(
        name="cgan",
        family="adversarial",
        summary="multilayer perceptrons with the one-hot label as input",
        build=f"{_BUILD}.cgan:build",
        default_loss="non-saturating",
        latent_dim=100,
        recipe=_ADAM,
        conditional=True,
        discriminator_output="logits",
        paper="Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784",
        options=GANOptions,
    )
    yield genbench.ModelSpec(
        name="cdcgan",
        family="adversarial",
        summary="dcgan with a label embedding in the generator and a projection discriminator",
        build=f"{_BUILD}.cdcgan:build",
        default_loss="non-saturating",
        image_shapes=square(28, 32, 64, 128),
        latent_dim=100,
        recipe=_ADAM,
        conditional=True,
        discriminator_output="logits",
        paper="Miyato & Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637",
        options=CDCGANOptions,
    )
    yield genbench.ModelSpec(
        name="acgan",
        family="adversarial",
        summary="dcgan whose discriminator also predicts the class",
        build=f"{_BUILD}.acgan:build",
        default_loss="non-saturating",
        image_shapes=square(28, 32, 64, 128),
        latent_dim=100,
        recipe=_ADAM,
        conditional=True,
        discriminator_output="class-logits",
        paper="Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585",
        options=DCGANOptions,
    )
