"""What a loss of the family defines: the noise levels of training, the network's input, and its target.

All follow the notation of Karras et al. 2022 (arXiv:2206.00364, table 1): with F the network, x an image y with added
noise of standard deviation σ, and

    D(x; σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x; c_noise(σ))

the denoised image, the loss is E λ(σ) |D(y + n; σ) - y|², mean over the values of an image. One sampler serves all.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from genbench_diffusion import DDPMOptions, EDMOptions, SamplerOptions


class Coefficients(NamedTuple):
    """How a network is wrapped at noise levels σ; each in the shape of σ."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor  # c_noise, the network's input for σ


class Formulation(Protocol):
    """What the loss specs of this family create."""

    options: SamplerOptions

    def draw_levels(self, count: int, rng: torch.Generator) -> Tensor:
        """Return noise levels σ to train at, (count,), on the generator's device."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Return the coefficients at noise levels σ > 0."""

    def weight(self, sigma: Tensor) -> Tensor:
        """Return λ(σ)."""


class EDM:
    """Karras et al. 2022, table 1, last column: for every σ, inputs and targets of F have unit variance."""

    def __init__(self, options: EDMOptions) -> None:
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


class DDPM:
    """Ho et al. 2020, equation 14: F predicts the noise. With c_in = √ᾱ = 1 / √(σ² + 1), λ |D - y|² is |ε - F|².

    Time is continuous, so that one network serves samplers of any number of steps; c_noise is the time, in (0, 1].
    """

    LEAST_TIME = 1e-5  # Song et al. 2021, appendix C

    def __init__(self, options: DDPMOptions) -> None:
        self.options = options
        self.rise = options.beta_max - options.beta_min

    def level_at(self, time: Tensor) -> Tensor:
        """σ(t) = √(1/ᾱ - 1)."""
        return torch.expm1(self.options.beta_min * time + 0.5 * self.rise * time.square()).sqrt()

    def time_at(self, sigma: Tensor) -> Tensor:
        """Return the time at which the noise level is σ: the root of ½ rise t² + β_min t = ln(1 + σ²)."""
        integral = torch.log1p(sigma.square())
        least = self.options.beta_min
        return 2 * integral / (least + (least**2 + 2 * self.rise * integral).sqrt())

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


def sampling_levels(options: SamplerOptions) -> list[float]:
    """Return the N + 1 noise levels of the sampler, falling to 0 (Karras et al. 2022, equation 5)."""
    greatest, least = (math.pow(level, 1 / options.rho) for level in (options.sigma_max, options.sigma_min))
    last = options.steps - 1
    return [math.pow(greatest + step / last * (least - greatest), options.rho) for step in range(last + 1)] + [0.0]
