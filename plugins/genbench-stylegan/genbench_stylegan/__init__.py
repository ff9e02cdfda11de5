"""StyleGAN2 for images of 28 to 128 pixels: two models and their loss.

genbench reads this module without importing torch; the networks are in `networks`, the loss is in `loss`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.3"

_PAPER = "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958"


@dataclass(frozen=True)
class StyleGAN2Options:
    """Options of the models."""

    width: int = genbench.option(16, "channels next to the image; twice as many after each halving", minimum=1)
    max_width: int = genbench.option(64, "most channels of a layer", minimum=1)
    mapping_layers: int = genbench.option(2, "dense layers of a mapping network; 8 in the paper", minimum=1)
    mixing: float = genbench.option(
        0.9, "share of the training images with the styles of two latents", minimum=0, maximum=1
    )
    noise: bool = genbench.option(True, "noise in every layer of the generator")
    group: int = genbench.option(4, "images per standard deviation in the discriminator", minimum=1)


@dataclass(frozen=True)
class LossOptions:
    """Options of the loss."""

    gamma: float = genbench.option(0.1, "weight γ of R1; the paper's 10 is for 1024 pixels", minimum=0)
    penalty_every: int = genbench.option(16, "steps from one R1 penalty to the next", minimum=1)
    path_weight: float = genbench.option(2.0, "weight of the path-length regularisation; 0: none", minimum=0)
    path_every: int = genbench.option(4, "steps from one path-length regularisation to the next", minimum=1)
    path_decay: float = genbench.option(
        0.01, "share of a new value in the moving average of path lengths", minimum=0, maximum=1
    )
    path_shrink: int = genbench.option(2, "path lengths are measured of a batch divided by this", minimum=1)


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the unconditional and the conditional model."""
    for conditional in (False, True):
        yield genbench.ModelSpec(
            name="stylegan2-conditional" if conditional else "stylegan2",
            family="adversarial",
            summary="the class enters the mapping network and a projection discriminator"
            if conditional
            else "a mapping network, convolutions modulated by styles and noise, and a residual discriminator",
            build="genbench_stylegan.networks:" + ("build_conditional" if conditional else "build"),
            default_loss="stylegan2",
            image_shapes=tuple((channels, size, size) for size in (28, 32, 64, 128) for channels in (1, 3)),
            latent_dim=64,
            recipe={
                "batch_size": 32,
                "learning_rate": 2e-3,
                "beta1": 0.0,
                "beta2": 0.99,
                "ema_half_life": 10_000.0,
            },
            conditional=conditional,
            paper=_PAPER
            + (
                "; classes: Karras et al. 2020, Training GANs with Limited Data, arXiv:2006.06676"
                if conditional
                else ""
            ),
            options=StyleGAN2Options,
        )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="stylegan2",
        family="adversarial",
        summary="non-saturating, with lazy R1 and path-length regularisation",
        create="genbench_stylegan.loss:create",
        formula="L_D = E softplus(-D(x)) + E softplus(D(G(z))) + γ/2 E ‖∇D(x)‖², L_G = E softplus(-D(G(z))) + "
        "λ E (‖J_wᵀ y‖ - a)², y ~ N(0, I / pixels), a the moving average of the lengths; "
        "each regulariser in every k-th step and weighted by k",
        source="Karras et al. 2020, arXiv:1912.04958, equation 4 and appendix B; R1: Mescheder et al. 2018, "
        "arXiv:1801.04406, equation 9",
        recipe={"optimizer": "adam", "beta1": 0.0, "beta2": 0.99},
        options=LossOptions,
    )
