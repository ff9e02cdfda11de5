"""The family `autoregressive`, its models and the loss `autoregressive-nll`: names and options, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.1"

_SHAPES = genbench.ShapeRule(minimum=4)


@dataclass(frozen=True)
class PixelCNNOptions:
    """Options of the models `pixelcnn-pp` and `cpixelcnn-pp`."""

    width: int = genbench.option(24, "channels of every layer", minimum=4)
    blocks: int = genbench.option(1, "residual blocks at each of three resolutions, on the way down", minimum=1)
    mixtures: int = genbench.option(5, "logistic distributions in the mixture of each pixel", minimum=1)


@dataclass(frozen=True)
class TransformerOptions:
    """Options of the models `image-transformer` and `cimage-transformer`."""

    width: int = genbench.option(48, "features of each token; a multiple of `heads`", minimum=8)
    layers: int = genbench.option(3, "layers of attention", minimum=1)
    heads: int = genbench.option(4, "heads of attention", minimum=1)
    block: int = genbench.option(128, "tokens of a block, which attends to itself and the block before", minimum=1)


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="autoregressive",
        summary="a network predicts each pixel from those before it, so the likelihood of an image is exact",
        create="genbench_autoregressive.family:Autoregressive",
        networks=("predictor",),
        exact=True,
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    for name, conditional in (("image-transformer", False), ("cimage-transformer", True)):
        yield genbench.ModelSpec(
            name=name,
            family="autoregressive",
            summary="a transformer over the values of an image in raster order predicts one of 256 levels"
            + _conditional(conditional),
            build=f"genbench_autoregressive.transformer:{'build_conditional' if conditional else 'build'}",
            default_loss="autoregressive-nll",
            image_shapes=_SHAPES,
            value_range=(0.0, 1.0),
            latent_dim=None,
            conditional=conditional,
            recipe={"batch_size": 32, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.95, "clip_gradient": 1.0},
            paper="Parmar et al. 2018, arXiv:1802.05751; Chen et al. 2020, Generative pretraining from pixels",
            options=TransformerOptions,
        )
    for name, conditional in (("pixelcnn-pp", False), ("cpixelcnn-pp", True)):
        yield genbench.ModelSpec(
            name=name,
            family="autoregressive",
            summary="PixelCNN++: two streams of causal convolutions predict a mixture of logistic distributions"
            + _conditional(conditional),
            build=f"genbench_autoregressive.pixelcnn:{'build_conditional' if conditional else 'build'}",
            default_loss="autoregressive-nll",
            image_shapes=_SHAPES,
            value_range=(0.0, 1.0),
            latent_dim=None,
            conditional=conditional,
            recipe={"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999},
            paper="Salimans et al. 2017, arXiv:1701.05517",
            options=PixelCNNOptions,
        )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="autoregressive-nll",
        family="autoregressive",
        summary="negative log-likelihood of the 256 levels, in bits per pixel and channel",
        create="genbench_autoregressive.family:AutoregressiveNLL",
        formula="-E Σ_i log₂ P(x_i | x_1, …, x_{i-1}) / D",
        source="van den Oord et al. 2016, arXiv:1601.06759, equation 1",
    )


def _conditional(conditional: bool) -> str:
    return ", given the class" if conditional else ""
