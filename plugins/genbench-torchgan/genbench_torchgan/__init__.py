"""Networks and losses of torchgan; genbench reads their names and options without importing torch or torchgan.

They belong to the family `adversarial`: torchgan's networks can be trained with any genbench loss, and its losses train
any adversarial model. The README lists which parts of torchgan are not wrapped, and why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.1"  # Restriction

SIZES = (16, 32, 64, 128)  # torchgan's stages need powers of 2, at least 16
SHAPES = tuple((channels, size, size) for size in SIZES for channels in (1, 3))
DCGAN = "Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"


@dataclass(frozen=True)
class NetworkOptions:
    """Options of the models."""

    step_channels: int = genbench.option(64, "channels next to the image, in both networks", minimum=1)
    batchnorm: bool = genbench.option(
        True, "batch norm in both networks; disable it for penalties on each image's gradient"
    )


@dataclass(frozen=True)
class MinimaxOptions:
    """Options of `torchgan-minimax`."""

    nonsaturating: bool = genbench.option(
        True, "generator: maximise log D(G(z)) instead of minimising log(1 - D(G(z)))"
    )
    label_smoothing: float = genbench.option(
        0.0, "the target for real images is 1 minus this; for fakes it stays 0", minimum=0, maximum=0.99
    )


@dataclass(frozen=True)
class LeastSquaresOptions:
    """Options of `torchgan-least-squares`."""

    a: float = genbench.option(0.0, "the discriminator's target for fakes")
    b: float = genbench.option(1.0, "the discriminator's target for real images")
    c: float = genbench.option(1.0, "the generator's target for fakes")


@dataclass(frozen=True)
class WassersteinOptions:
    """Options of `torchgan-wasserstein`."""

    clip: float = genbench.option(0.01, "the discriminator's parameters are clipped to [-clip, clip]", minimum=1e-6)


def _model(name: str, target: str, summary: str, paper: str, conditional: bool) -> genbench.ModelSpec:
    return genbench.ModelSpec(
        name=name,
        family="adversarial",
        summary=summary,
        build=f"genbench_torchgan.networks:{target}",
        default_loss="torchgan-minimax",
        image_shapes=SHAPES,
        conditional=conditional,
        paper=paper,
        options=NetworkOptions,
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models, for square images of 16, 32, 64 and 128 pixels."""
    yield _model("torchgan-dcgan", "build_dcgan", "torchgan's DCGAN", DCGAN, conditional=False)
    yield _model(
        "torchgan-cgan",
        "build_conditional",
        "torchgan's DCGAN with an embedded label appended to the latents and the image",
        "Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784",
        conditional=True,
    )
    yield _model(
        "torchgan-acgan",
        "build_acgan",
        "torchgan's DCGAN with latents scaled by the label and a discriminator that predicts it",
        "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585",
        conditional=True,
    )


def _loss(
    name: str,
    target: str,
    formula: str,
    source: str,
    options: type,
    recipe: dict[str, float | str] | None = None,
    restrictions: tuple[genbench.Restriction, ...] = (),
) -> genbench.LossSpec:
    return genbench.LossSpec(
        name=name,
        family="adversarial",
        summary=f"torchgan's {name.removeprefix('torchgan-')} losses",
        create=f"genbench_torchgan.losses:{target}",
        formula=formula,
        source=source,
        options=options,
        recipe=recipe or {},
        restrictions=restrictions,
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the losses."""
    yield _loss(
        "torchgan-minimax",
        "create_minimax",
        "L_D = E softplus(-D(x)) + E softplus(D(G(z))); L_G = E softplus(-D(G(z))), or -E softplus(D(G(z)))",
        "Goodfellow et al. 2014, Generative Adversarial Nets, arXiv:1406.2661",
        MinimaxOptions,
    )
    yield _loss(
        "torchgan-least-squares",
        "create_least_squares",
        "L_D = ½ E(D(x) - b)² + ½ E(D(G(z)) - a)²; L_G = ½ E(D(G(z)) - c)²",
        "Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076",
        LeastSquaresOptions,
    )
    yield _loss(
        "torchgan-wasserstein",
        "create_wasserstein",
        "L_D = E D(G(z)) - E D(x), weights clipped; L_G = -E D(G(z))",
        "Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875, algorithm 1",
        WassersteinOptions,
        recipe={"optimizer": "rmsprop", "learning_rate": 5e-5, "discriminator_steps": 5},
        restrictions=(
            genbench.Restriction(
                setting="augment_discriminator", excludes=("ada",), reason="the critic has no decision boundary"
            ),
        ),
    )
