"""The U-Net and the schedulers of diffusers under genbench's protocol; names and options, without torch or diffusers.

They form the family `diffusers`: what its scheduler adds to images in training, and removes again when it samples, is
computed by diffusers itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

requires_api = "1.1"


@dataclass(frozen=True)
class UNetOptions:
    """Options of `diffusers-unet`."""

    width: int = genbench.option(
        32, "channels at full resolution, of which the others are multiples; 128 in google/ddpm-cifar10-32", minimum=8
    )
    blocks: int = genbench.option(2, "residual blocks per resolution on the way down", minimum=1)


@dataclass(frozen=True)
class LossOptions:
    """Options of `diffusers`: of the scheduler that adds noise, and of the default sampler."""

    prediction_type: Literal["epsilon", "sample", "v_prediction"] = genbench.option(
        "epsilon", "what the network predicts: the noise, the image, or the velocity"
    )
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = genbench.option(
        "linear", "how the variances of the 1,000 steps rise"
    )
    steps: int = genbench.option(50, "steps of the default sampler, `ddim`", minimum=2, maximum=1000)


@dataclass(frozen=True)
class SchedulerOptions:
    """The option of every sampler."""

    steps: int = genbench.option(50, "steps", minimum=2, maximum=1000)


@dataclass(frozen=True)
class DDIMOptions(SchedulerOptions):
    """Options of `ddim`."""

    eta: float = genbench.option(
        0.0, "share of new noise; 0: a deterministic path, 1: as in DDPM", minimum=0, maximum=1
    )


SCHEDULERS = {  # name -> class of diffusers, summary
    "ddpm": ("DDPMScheduler", "new noise in each step (Ho et al. 2020, arXiv:2006.11239)"),
    "ddim": ("DDIMScheduler", "with or without new noise (Song et al. 2021, arXiv:2010.02502)"),
    "pndm": ("PNDMScheduler", "pseudo linear multistep (Liu et al. 2022, arXiv:2202.09778)"),
    "euler": ("EulerDiscreteScheduler", "first-order steps along a deterministic path"),
    "heun": (
        "HeunDiscreteScheduler",
        "second-order, two evaluations a step (Karras et al. 2022, arXiv:2206.00364)",
    ),
    "dpm-solver": ("DPMSolverMultistepScheduler", "second-order multistep (Lu et al. 2022, arXiv:2211.01095)"),
    "unipc": ("UniPCMultistepScheduler", "predictor and corrector (Zhao et al. 2023, arXiv:2302.04867)"),
}


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="diffusers",
        summary="a network and schedulers of diffusers, which add noise to images and remove it",
        create="genbench_diffusers.family:Diffusers",
        networks=("unet",),
        uses=(),
        samplers=tuple(
            genbench.SamplerSpec(
                name=name,
                summary=f"diffusers' {scheduler}: {summary}",
                options=DDIMOptions if name == "ddim" else SchedulerOptions,
            )
            for name, (scheduler, summary) in SCHEDULERS.items()
        ),
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="diffusers-unet",
        family="diffusers",
        summary="diffusers' UNet2DModel, in the layers of DDPM; at width 128 the network of google/ddpm-cifar10-32",
        build="genbench_diffusers.unet:build",
        default_loss="diffusers",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64, 128) for channels in (1, 3)),
        recipe={
            "batch_size": 64,
            "learning_rate": 1e-3,
            "beta1": 0.9,
            "beta2": 0.999,
            "ema_half_life": 500_000.0,  # as the models of genbench-diffusion
        },
        paper="Ho et al. 2020, arXiv:2006.11239, as in diffusers",
        options=UNetOptions,
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="diffusers",
        family="diffusers",
        summary="the squared error of what the network predicts, at one of 1,000 steps of diffusers' DDPMScheduler",
        create="genbench_diffusers.family:create_loss",
        formula="E|target - F(√ᾱ_t y + √(1-ᾱ_t) ε; t)|² per value, target ε, y or √ᾱ_t ε - √(1-ᾱ_t) y, t ~ U{0 … 999}",
        source="diffusers, docs/source/en/tutorials/basic_training.md",
        options=LossOptions,
    )
