"""What a loss of the family `diffusion` defines: noise levels, the network's input, and its target.

All follow the notation of Karras et al. 2022 (arXiv:2206.00364, table 1): with F the network, x an image y with added
noise of standard deviation σ, and

    D(x; σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x; c_noise(σ))

the denoised image, the loss is E λ(σ) |D(y + n; σ) - y|², mean over the values of an image. The samplers and the bound
on the likelihood know D alone, so each serves all losses. A noisy image of a paper is c_in x here.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genbench_diffusion import DDPMOptions, EDMOptions, FlowOptions, SamplerOptions
from genbench_diffusion.coupling import least_distance


class Coefficients(NamedTuple):
    """How a network is wrapped at noise levels σ; each in the shape of σ."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor  # c_noise, the network's input for σ


class Formulation(Protocol):
    """What the loss specs of this family create."""

    steps: int  # of the default sampler
    couples: bool  # whether `pair` depends on the images
    sigma_min: float  # the lowest noise level
    sigma_max: float  # the highest

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Return noise levels σ to train at, (count,), on the generator's device."""

    def pair(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the noise of each image, (B, channels, height, width): the given noise, in any order."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Return the coefficients at noise levels σ > 0."""

    def weight(self, sigma: Tensor) -> Tensor:
        """Return λ(σ)."""

    def levels(self, steps: int) -> list[float]:
        """Return `steps` falling noise levels for samplers, and 0."""


class _Formulation:
    """What most losses share: independent noise, and the sampling levels of Karras et al. 2022, equation 5."""

    couples = False

    def __init__(self, options: SamplerOptions) -> None:
        self.steps, self.rho = options.steps, options.rho
        self.sigma_min, self.sigma_max = options.sigma_min, options.sigma_max

    def pair(self, images: Tensor, noise: Tensor) -> Tensor:
        return noise

    def levels(self, steps: int) -> list[float]:
        greatest, least = (math.pow(level, 1 / self.rho) for level in (self.sigma_max, self.sigma_min))
        last = steps - 1
        return [math.pow(greatest + step / last * (least - greatest), self.rho) for step in range(last + 1)] + [0.0]


class EDM(_Formulation):
    """Karras et al. 2022, table 1, last column: for every σ, inputs and targets of F have unit variance."""

    def __init__(self, options: EDMOptions) -> None:
        super().__init__(options)
        self.options = options

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw ln σ from N(p_mean, p_std²)."""
        logarithm = torch.randn(count, generator=rng, device=rng.device) * self.options.p_std + self.options.p_mean
        return logarithm.exp()

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """c_skip = σd² / (σ² + σd²), c_out = σ σd / √(σ² + σd²), c_in = 1 / √(σ² + σd²), c_noise = ¼ ln σ."""
        data = self.options.sigma_data
        total = sigma.square() + data**2
        return Coefficients(data**2 / total, sigma * data / total.sqrt(), total.rsqrt(), sigma.log() / 4)

    def weight(self, sigma: Tensor) -> Tensor:
        """λ = (σ² + σd²) / (σ σd)² = 1 / c_out²: all levels have equal weight before training."""
        data = self.options.sigma_data
        return (sigma.square() + data**2) / (sigma * data).square()


class DDPM(_Formulation):
    """Ho et al. 2020, equation 14: F predicts the noise. With c_in = √ᾱ = 1 / √(σ² + 1), λ |D - y|² is |ε - F|².

    Time is continuous, so that one network serves samplers of any number of steps; c_noise is the time, in (0, 1].
    """

    LEAST_TIME = 1e-5  # Song et al. 2021, appendix C

    def __init__(self, options: DDPMOptions) -> None:
        super().__init__(options)
        self.least, self.rise = options.beta_min, options.beta_max - options.beta_min

    def level_at(self, time: Tensor) -> Tensor:
        """σ(t) = √(1/ᾱ - 1)."""
        return torch.expm1(self.least * time + 0.5 * self.rise * time.square()).sqrt()

    def time_at(self, sigma: Tensor) -> Tensor:
        """Return the time at which the noise level is σ: the root of ½ rise t² + β_min t = ln(1 + σ²)."""
        integral = torch.log1p(sigma.square())
        return 2 * integral / (self.least + (self.least**2 + 2 * self.rise * integral).sqrt())

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw the time from U(0, 1)."""
        time = torch.rand(count, generator=rng, device=rng.device)
        return self.level_at(self.LEAST_TIME + (1 - self.LEAST_TIME) * time)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """c_skip = 1, c_out = -σ, c_in = 1 / √(σ² + 1), c_noise = t(σ)."""
        return Coefficients(torch.ones_like(sigma), -sigma, (sigma.square() + 1).rsqrt(), self.time_at(sigma))

    def weight(self, sigma: Tensor) -> Tensor:
        """λ = 1 / σ²."""
        return sigma.square().reciprocal()


class VPrediction(_Formulation):
    """Salimans & Ho 2022: F predicts v = α ε - s y at z = α y + s ε, α = cos ½πt, s = sin ½πt, so that σ = tan ½πt."""

    LEAST_TIME = 1e-4  # the highest σ is then 6,366

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw the time from U(0, 1), away from its ends."""
        time = torch.rand(count, generator=rng, device=rng.device)
        return ((self.LEAST_TIME + (1 - 2 * self.LEAST_TIME) * time) * (math.pi / 2)).tan()

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """The image is α z - s v (their section 4): c_skip = α², c_out = -s, c_in = α = 1 / √(σ² + 1), c_noise = t."""
        alpha = (sigma.square() + 1).rsqrt()
        return Coefficients(alpha.square(), -sigma * alpha, alpha, sigma.atan() * (2 / math.pi))

    def weight(self, sigma: Tensor) -> Tensor:
        """λ = 1 / s² = 1 + 1/σ², the weight `SNR + 1` of their section 4."""
        return 1 + sigma.square().reciprocal()


class FlowMatching:
    """Straight paths z = (1 - t) y + t ε: F predicts their velocity ε - y, and σ = t / (1 - t).

    Lipman et al. 2023, arXiv:2210.02747, section 4.1, with σ_min = 0; Liu et al. 2023, arXiv:2209.03003, equation 1,
    where time runs the other way. Euler's steps in t are those of the sampler `ddim` without new noise.
    """

    LEAST_TIME = 1e-4
    sigma_min, sigma_max = 0.002, 80.0  # where samplers start, t = 80/81, less than 1/80 of the image is left

    def __init__(self, options: FlowOptions) -> None:
        self.options, self.steps = options, options.steps
        self.couples = options.coupling == "optimal-transport"

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw t from U(0, 1), or as the sigmoid of N(0, 1), away from its ends."""
        if self.options.times == "logit-normal":
            time = torch.randn(count, generator=rng, device=rng.device).sigmoid()
        else:
            time = torch.rand(count, generator=rng, device=rng.device)
        time = self.LEAST_TIME + (1 - 2 * self.LEAST_TIME) * time
        return time / (1 - time)

    def pair(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return the noise in the order of the coupling."""
        return noise[least_distance(images, noise)] if self.couples else noise

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """The image is z - t F: c_skip = c_in = 1 - t = 1 / (1 + σ), c_out = -t, c_noise = t = σ / (1 + σ)."""
        rest = (1 + sigma).reciprocal()
        return Coefficients(rest, -sigma * rest, rest, sigma * rest)

    def weight(self, sigma: Tensor) -> Tensor:
        """λ = 1 / t²."""
        return (1 + sigma.reciprocal()).square()

    def levels(self, steps: int) -> list[float]:
        """Equal steps in t."""
        start = self.sigma_max / (1 + self.sigma_max)
        times = [start * (steps - step) / steps for step in range(steps + 1)]
        return [time / (1 - time) for time in times]
