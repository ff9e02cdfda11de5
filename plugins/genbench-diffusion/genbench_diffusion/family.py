"""The family `diffusion`: one network learns to remove noise, and images are drawn by removing noise step by step.

A model's network is `denoiser(images, noise) -> images`: its inputs are images (B, channels, height, width), scaled by
c_in, and c_noise (B,), which encodes the noise level; it returns F, in the shape of the images. The denoiser of a
conditional model also takes labels (B,), of which `num_classes` means that the label is hidden, and has an attribute
`label_dropout`, the share of labels that are hidden in training.

The latents are the noise that an image starts from, so each latent gives one image, and two can be interpolated.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_diffusion import DDIMOptions, HeunOptions, SolverOptions
from genbench_diffusion.bound import LEVELS, diffusion_loss, level_loss, prior_loss
from genbench_diffusion.formulations import DDPM, EDM, FlowMatching, Formulation, VPrediction
from genbench_diffusion.sampler import ddim, dpm_solver, heun


class Diffusion:
    """One player: the denoiser."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, EDM | DDPM | VPrediction | FlowMatching):
            found = type(setup.loss).__name__
            raise TypeError(f"a loss of the family diffusion creates one of its formulations, not {found}")
        self.setup = setup
        self.formulation: Formulation = setup.loss
        self.denoiser = setup.networks["denoiser"]
        if self.formulation.couples and setup.model.conditional:
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, and optimal transport would make the noise depend on the "
                "label.",
                "Use --set flow-matching.coupling=independent.",
            )

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("denoiser", ("denoiser",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Add noise to the images, each at its own level, and compare the denoised images with the originals."""
        images, rng = batch.images, batch.rng
        sigma = self.formulation.draw_levels(len(images), rng)[:, None, None, None]
        noise = self.formulation.pair(images, torch.randn(images.shape, generator=rng, device=images.device))
        labels = None if batch.labels is None else self._hide_some(batch.labels, rng)
        error = self.denoise(images + sigma * noise, sigma, labels) - images
        return genbench.Objective((self.formulation.weight(sigma) * error.square()).mean(), {})

    def denoise(self, images: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return D(x; σ) of images (B, …) with noise of levels σ, (B, 1, 1, 1)."""
        skip, out, into, noise = self.formulation.coefficients(sigma)
        inputs = (into * images, noise.flatten()) if labels is None else (into * images, noise.flatten(), labels)
        predicted: Tensor = self.denoiser(*inputs)
        return skip * images + out * predicted.float()

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise that `count` images start from, (count, channels, height, width), of unit variance."""
        return self._noise(count, rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Remove the noise with Heun's method, in the steps set by the loss's options.

        The predicted image is clamped to the range of images, which always contains the mean of the possible images
        (Ho et al. 2020 clip it too). Otherwise, early in training, the error of `ddpm` at high noise, which is σ times
        that of the network, would carry images away.
        """
        predict = functools.partial(self._predict, labels=labels)
        return self._in_range(heun(predict, latents, self.formulation.levels(self.formulation.steps)))

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, each from its own noise."""
        return self.generate(self.latents(count, rng), labels)

    def sample_with(
        self, sampler: genbench.Sampler, count: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Return `count` images from the same noise as `sample`, drawn by this sampler."""
        chosen, noise = sampler.options, self.latents(count, rng)
        if labels is None and chosen.guidance != 1:
            raise genbench.GenbenchError(
                f"Model '{self.setup.model.name}' has no labels, so its samples cannot be guided.",
                "Leave out guidance, or use a conditional model, such as conditional-diffusion.",
            )
        predict = functools.partial(self._predict, labels=labels, guidance=chosen.guidance)
        levels = self.formulation.levels(chosen.steps)
        match chosen:
            case HeunOptions():
                images = heun(predict, noise, levels)
            case SolverOptions():
                images = dpm_solver(predict, noise, levels)
            case DDIMOptions():
                images = ddim(predict, noise, levels, chosen.eta, rng)
            case _:
                raise TypeError(f"the family diffusion has no sampler {sampler.name}")
        return self._in_range(images)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: images are not encoded."""
        raise NotImplementedError("diffusion models do not reconstruct")

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The probability of 256 levels, given the image with noise of σ_min."""
        return genbench.Likelihood("diffusion", "discrete")

    def bound(
        self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> genbench.LikelihoodBound:
        """Return the variational bound in the limit of infinitely many steps (Kingma et al. 2021, equation 11).

        Of each image, `draws` noise levels are evaluated, one in each of as many equal parts of ln σ between σ_min and
        σ_max. Each is an unbiased estimate of the bound, but no importance weight.
        """
        first, last = math.log(self.formulation.sigma_min), math.log(self.formulation.sigma_max)
        low, high = self.setup.model.value_range
        given = None if labels is None else labels.repeat(draws)
        predict = functools.partial(self._predict, labels=given)
        # Image by image, so that the bound of an image does not depend on the others of its batch
        drawn = [
            (torch.rand(draws, generator=rng, device=rng.device), self._noise(draws, rng)) for _ in range(len(images))
        ]
        at, noise = (torch.stack(each, 1).flatten(0, 1) for each in zip(*drawn, strict=True))  # K · B
        part = torch.arange(draws, device=images.device).repeat_interleave(len(images))
        sigma = (first + (last - first) * (part + at) / draws).exp()
        repeated = images.repeat(draws, 1, 1, 1)
        with torch.autocast(images.device.type, enabled=False):  # sums over pixels need fp32
            rate = (last - first) * diffusion_loss(predict, repeated, sigma, noise)
            rate = rate + prior_loss(repeated, self.formulation.sigma_max)
            distortion = level_loss(repeated, noise, self.formulation.sigma_min, (high - low) / (LEVELS - 1), low)
        rate, distortion = rate.view(draws, -1), distortion.view(draws, -1)
        return genbench.LikelihoodBound(-rate - distortion, distortion.mean(0), rate.mean(0), None, importance=False)

    def _predict(
        self, images: Tensor, level: Tensor | float, labels: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        """Return the denoised images, clamped; with a label, D₀ + w (D - D₀), where D₀ does not see it.

        Ho & Salimans 2022 (arXiv:2207.12598), equation 6, whose weight is w - 1.
        """
        sigma = torch.as_tensor(level, device=images.device).expand(len(images), 1, 1, 1)
        if labels is None or guidance == 1:
            return self._in_range(self.denoise(images, sigma, labels))
        unlabelled = self.denoise(images, sigma, torch.full_like(labels, self.setup.num_classes))
        if guidance == 0:
            return self._in_range(unlabelled)
        return self._in_range(unlabelled.lerp(self.denoise(images, sigma, labels), guidance))

    def _hide_some(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        hidden = torch.rand(len(labels), generator=rng, device=rng.device) < self.denoiser.label_dropout
        return torch.where(hidden, self.setup.num_classes, labels)

    def _noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randn((count, *self.setup.image_shape), generator=rng, device=self.setup.device)

    def _in_range(self, images: Tensor) -> Tensor:
        low, high = self.setup.model.value_range
        return images.clamp(low, high)
