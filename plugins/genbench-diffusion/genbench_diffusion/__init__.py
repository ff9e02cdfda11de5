"""The family `diffusion`, the model `diffusion` and the losses `edm` and `ddpm`: names and options, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.1"


@dataclass(frozen=True)
class UNetOptions:
    """Options of the model `diffusion`."""

    width: int = genbench.option(32, "channels at full resolution; the coarser levels have twice as many", minimum=8)


@dataclass(frozen=True)
class SamplerOptions:
    """Options of the sampler, which both losses have."""

    steps: int = genbench.option(
        18, "steps N of the sampler, which evaluates the network 2N - 1 times per image", minimum=2
    )
    sigma_min: float = genbench.option(0.002, "lowest noise level of the sampler", minimum=1e-5, maximum=1)
    sigma_max: float = genbench.option(80.0, "highest noise level, where it starts", minimum=2, maximum=150)
    rho: float = genbench.option(7.0, "how strongly steps shrink at low noise; 1: evenly spaced", minimum=1)


@dataclass(frozen=True)
class HeunOptions:
    """Options of the sampler `heun`; the loss sets the noise levels."""

    steps: int = genbench.option(18, "steps N, which evaluate the network 2N - 1 times per image", minimum=2)


@dataclass(frozen=True)
class DDIMOptions:
    """Options of the sampler `ddim`; the loss sets the noise levels."""

    steps: int = genbench.option(50, "steps, each of which evaluates the network once", minimum=2)
    eta: float = genbench.option(
        0.0, "share of new noise; 0: a deterministic path, 1: as in DDPM", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class EDMOptions(SamplerOptions):
    """Options of `edm`."""

    p_mean: float = genbench.option(-1.2, "mean of ln σ in training")
    p_std: float = genbench.option(1.2, "standard deviation of ln σ in training", minimum=1e-3)
    sigma_data: float = genbench.option(0.5, "standard deviation of the pixel values", minimum=1e-3)


@dataclass(frozen=True)
class DDPMOptions(SamplerOptions):
    """Options of `ddpm`."""

    beta_min: float = genbench.option(0.1, "β(0), 1,000 times the first variance of the paper", minimum=1e-3)
    beta_max: float = genbench.option(20.0, "β(1), 1,000 times the last variance of the paper", minimum=1)


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="diffusion",
        summary="a network removes noise; drawing an image takes many evaluations",
        create="genbench_diffusion.family:Diffusion",
        networks=("denoiser",),
        samplers=(
            genbench.SamplerSpec(
                name="heun", summary="second-order steps along a deterministic path", options=HeunOptions
            ),
            genbench.SamplerSpec(name="ddim", summary="first-order steps, also with new noise", options=DDIMOptions),
        ),
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="diffusion",
        family="diffusion",
        summary="small U-Net of residual blocks, conditioned on the noise level, for 28, 32 and 64 pixels",
        build="genbench_diffusion.unet:build",
        default_loss="edm",
        image_shapes=tuple((channels, size, size) for size in (28, 32, 64) for channels in (1, 3)),
        recipe={
            "batch_size": 64,
            "learning_rate": 1e-3,
            "beta1": 0.9,
            "beta2": 0.999,
            "ema_half_life": 500_000.0,  # Karras et al. 2022, table 7; ema_ramp shortens it for short runs
        },
        paper="Ho et al. 2020, arXiv:2006.11239; Karras et al. 2022, arXiv:2206.00364",
        options=UNetOptions,
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the losses."""
    yield genbench.LossSpec(
        name="edm",
        family="diffusion",
        summary="denoising at log-normal noise levels; inputs and outputs of the network have unit variance",
        create="genbench_diffusion.formulations:EDM",
        formula="E λ(σ)·|D(y + n; σ) - y|² per value, D(x; σ) = c_skip x + c_out F(c_in x; c_noise), n ~ N(0, σ²), "
        "ln σ ~ N(p_mean, p_std²), λ = (σ² + σ_data²) / (σ·σ_data)²; equals 1 for F = 0",
        source="Karras et al. 2022, arXiv:2206.00364, table 1",
        options=EDMOptions,
    )
    yield genbench.LossSpec(
        name="ddpm",
        family="diffusion",
        summary="the network predicts the noise itself, in continuous time",
        create="genbench_diffusion.formulations:DDPM",
        formula="E|ε - F(√ᾱ y + √(1-ᾱ) ε; t)|² per value, t ~ U(0, 1), -ln ᾱ(t) = β_min t + ½ (β_max - β_min) t²",
        source="Ho et al. 2020, arXiv:2006.11239, equation 14; in continuous time: Song et al. 2021, arXiv:2011.13456, "
        "appendix B; sampled as in Karras et al. 2022, table 1, column VP, with Heun's method",
        options=DDPMOptions,
    )
