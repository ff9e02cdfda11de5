"""Diffusion and consistency models: their names and options, without torch.

What is learned is a loss (`edm`, `ddpm`, `v-prediction`, `flow-matching`), the network that learns it is a model, and
how images are drawn from the trained network is a sampler. Consistency models, which are not denoisers, form a family.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

requires_api = "1.3"

RECIPE: dict[str, int | float] = {
    "batch_size": 64,
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "ema_half_life": 500_000.0,  # Karras et al. 2022, table 7; ema_ramp shortens it for short runs
}
SHAPES = tuple((channels, size, size) for size in (28, 32, 64, 128) for channels in (1, 3))


@dataclass(frozen=True)
class UNetOptions:
    """Options of the models `diffusion` and `consistency`."""

    width: int = genbench.option(32, "channels at full resolution; the coarser levels have twice as many", minimum=8)


@dataclass(frozen=True)
class ConditionalOptions(UNetOptions):
    """Options of `conditional-diffusion`."""

    label_dropout: float = genbench.option(
        0.1, "share of labels hidden in training, for guidance", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class DDPMUNetOptions:
    """Options of the model `ddpm`."""

    width: int = genbench.option(
        32, "channels at full resolution, of which the others are multiples; 128 in the paper", minimum=8
    )
    blocks: int = genbench.option(2, "residual blocks per resolution on the way down", minimum=1)


_N_STEPS = "steps N, which evaluate the network 2N - 1 times per image"
_STEPS = "steps, each of which evaluates the network once"


@dataclass(frozen=True)
class StepOptions:
    """The option of the default sampler that every loss of a denoiser has."""

    steps: int = genbench.option(
        18, "steps N of the sampler, which evaluates the network 2N - 1 times per image", minimum=2
    )


@dataclass(frozen=True)
class SamplerOptions(StepOptions):
    """Options of the default sampler."""

    sigma_min: float = genbench.option(0.002, "lowest noise level of the sampler", minimum=1e-5, maximum=1)
    sigma_max: float = genbench.option(80.0, "highest noise level, where it starts", minimum=2, maximum=150)
    rho: float = genbench.option(7.0, "how strongly steps shrink at low noise; 1: evenly spaced", minimum=1)


@dataclass(frozen=True)
class GuidanceOptions:
    """The option of every sampler of the family `diffusion`."""

    guidance: float = genbench.option(
        1.0, "weight of the label, for conditional models; 0: ignored, 1: as trained, above: exaggerated", minimum=0
    )


@dataclass(frozen=True)
class HeunOptions(GuidanceOptions):
    """Options of the sampler `heun`; the loss sets the noise levels."""

    steps: int = genbench.option(18, _N_STEPS, minimum=2)


@dataclass(frozen=True)
class SolverOptions(GuidanceOptions):
    """Options of the sampler `dpm-solver`; the loss sets the noise levels."""

    steps: int = genbench.option(20, _STEPS, minimum=2)


@dataclass(frozen=True)
class DDIMOptions(GuidanceOptions):
    """Options of the sampler `ddim`; the loss sets the noise levels."""

    steps: int = genbench.option(50, _STEPS, minimum=2)
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


@dataclass(frozen=True)
class FlowOptions(StepOptions):
    """Options of `flow-matching`."""

    times: Literal["uniform", "logit-normal"] = genbench.option("uniform", "distribution of t in training")
    coupling: Literal["independent", "optimal-transport"] = genbench.option(
        "independent", "how noise is paired with the images of a batch: at random, or at the least total distance"
    )


@dataclass(frozen=True)
class ConsistencyOptions:
    """Options of the loss `consistency`."""

    sigma_min: float = genbench.option(0.002, "lowest noise level, where an image is its own", minimum=1e-5, maximum=1)
    sigma_max: float = genbench.option(80.0, "highest noise level, where sampling starts", minimum=2, maximum=150)
    rho: float = genbench.option(7.0, "how strongly the levels of training crowd at low noise", minimum=1)
    p_mean: float = genbench.option(-1.1, "mean of ln σ in training")
    p_std: float = genbench.option(2.0, "standard deviation of ln σ in training", minimum=1e-3)
    sigma_data: float = genbench.option(0.5, "standard deviation of the pixel values", minimum=1e-3)
    first_levels: int = genbench.option(10, "noise levels at the start of training, less 1", minimum=2)
    last_levels: int = genbench.option(1280, "noise levels at the end, less 1; they double in between", minimum=2)


@dataclass(frozen=True)
class MultistepOptions:
    """Options of the sampler `multistep`."""

    steps: int = genbench.option(2, "network evaluations per image, with new noise between them", minimum=1)


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the families."""
    yield genbench.FamilySpec(
        name="diffusion",
        summary="a network removes noise; drawing an image takes many evaluations",
        create="genbench_diffusion.family:Diffusion",
        networks=("denoiser",),
        bounds=True,
        uses=(),
        samplers=(
            genbench.SamplerSpec(
                name="heun", summary="second-order steps along a deterministic path", options=HeunOptions
            ),
            genbench.SamplerSpec(
                name="dpm-solver", summary="second-order steps that use the one before", options=SolverOptions
            ),
            genbench.SamplerSpec(name="ddim", summary="first-order steps, also with new noise", options=DDIMOptions),
        ),
    )
    yield genbench.FamilySpec(
        name="consistency",
        summary="a network maps noise to an image in one evaluation, or in a few",
        create="genbench_diffusion.consistency:Consistency",
        networks=("denoiser",),
        uses=(),
        samplers=(
            genbench.SamplerSpec(
                name="multistep", summary="adds noise and removes it again, several times", options=MultistepOptions
            ),
        ),
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models."""
    yield genbench.ModelSpec(
        name="diffusion",
        family="diffusion",
        summary="small U-Net of residual blocks, conditioned on the noise level, for 28, 32, 64 and 128 pixels",
        build="genbench_diffusion.unet:build",
        default_loss="edm",
        image_shapes=SHAPES,
        recipe=RECIPE,
        paper="Ho et al. 2020, arXiv:2006.11239; Karras et al. 2022, arXiv:2206.00364",
        options=UNetOptions,
    )
    yield genbench.ModelSpec(
        name="conditional-diffusion",
        family="diffusion",
        summary="conditional: `diffusion` that receives the label, sometimes hidden, so that samples can be guided",
        build="genbench_diffusion.unet:build_conditional",
        default_loss="edm",
        image_shapes=SHAPES,
        recipe=RECIPE,
        conditional=True,
        paper="Ho & Salimans 2022, arXiv:2207.12598",
        options=ConditionalOptions,
    )
    yield genbench.ModelSpec(
        name="ddpm",
        family="diffusion",
        summary="the U-Net of the paper, with attention; at width 128 its size for CIFAR-10",
        build="genbench_diffusion.ddpm_unet:build",
        default_loss="ddpm",
        image_shapes=SHAPES,
        recipe=RECIPE,
        paper="Ho et al. 2020, arXiv:2006.11239, appendix B",
        options=DDPMUNetOptions,
    )
    yield genbench.ModelSpec(
        name="consistency",
        family="consistency",
        summary="the U-Net of `diffusion`, which maps noise to an image at once",
        build="genbench_diffusion.unet:build",
        default_loss="consistency",
        image_shapes=SHAPES,
        recipe=RECIPE,
        paper="Song et al. 2023, arXiv:2303.01469",
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
    yield genbench.LossSpec(
        name="v-prediction",
        family="diffusion",
        summary="the network predicts a mixture of noise and image whose variance does not depend on the noise level",
        create="genbench_diffusion.formulations:VPrediction",
        formula="E|v - F(α y + s ε; t)|² per value, v = α ε - s y, α = cos ½πt, s = sin ½πt, t ~ U(0, 1)",
        source="Salimans & Ho 2022, arXiv:2202.00512, section 4 and appendix D",
        options=SamplerOptions,
    )
    yield genbench.LossSpec(
        name="flow-matching",
        family="diffusion",
        summary="the network predicts the velocity of straight paths from images to noise (rectified flow)",
        create="genbench_diffusion.formulations:FlowMatching",
        formula="E|(ε - y) - F((1-t) y + t ε; t)|² per value, t ~ U(0, 1)",
        source="Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003, equation 1; times: Esser "
        "et al. 2024, arXiv:2403.03206, section 3.1; coupling: Tong et al. 2024, arXiv:2302.00482, section 3.2.3",
        options=FlowOptions,
        restrictions=(
            genbench.Restriction(
                setting="engine",
                excludes=("graph",),
                reason="the least distance is found on the host",
                options={"coupling": "optimal-transport"},
            ),
        ),
    )
    yield genbench.LossSpec(
        name="consistency",
        family="consistency",
        summary="the same image from two neighbouring noise levels of the same noise, without a teacher",
        create="genbench_diffusion.consistency:ConsistencyTraining",
        formula="E (√(|f(y + σ' ε; σ') - sg f(y + σ ε; σ)|² + c²) - c) / (σ' - σ) per image, σ' the level above σ, "
        "f(x; σ) = c_skip x + c_out F(c_in x; c_noise), f(x; σ_min) = x, c = 0.00054 √(values)",
        source="Song & Dhariwal 2023, arXiv:2310.14189, section 3",
        options=ConsistencyOptions,
    )
