"""The family `diffusion`: one network learns to remove noise, and images are drawn by removing noise step by step.

A model's network is `denoiser(images, noise) -> images`: its inputs are images (B, channels, height, width), scaled by
c_in, and c_noise (B,), which encodes the noise level; it returns F, in the shape of the images. The latents are the
noise that an image starts from, so each latent gives one image, and two can be interpolated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_diffusion import DDIMOptions
from genbench_diffusion.formulations import DDPM, EDM, Formulation, sampling_levels
from genbench_diffusion.sampler import denoise_in_steps, follow


class Diffusion:
    """One player: the denoiser."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, EDM | DDPM):
            raise TypeError(f"a loss of the family diffusion creates an EDM or a DDPM, not {type(setup.loss).__name__}")
        if setup.model.conditional:
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, which the family diffusion is not.",
                "Set conditional=False in its spec.",
            )
        self.setup = setup
        self.formulation: Formulation = setup.loss
        self.denoiser = setup.networks["denoiser"]
        self.levels = sampling_levels(self.formulation.options)

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("denoiser", ("denoiser",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Add noise to the images, each at its own level, and compare the denoised images with the originals."""
        images, rng = batch.images, batch.rng
        sigma = self.formulation.draw_levels(len(images), rng)[:, None, None, None]
        noise = torch.randn(images.shape, generator=rng, device=images.device)
        error = self.denoise(images + sigma * noise, sigma) - images
        return genbench.Objective((self.formulation.weight(sigma) * error.square()).mean(), {})

    def denoise(self, images: Tensor, sigma: Tensor) -> Tensor:
        """Return D(x; σ) of images (B, …) with noise of levels σ, (B, 1, 1, 1)."""
        skip, out, into, noise = self.formulation.coefficients(sigma)
        predicted: Tensor = self.denoiser(into * images, noise.flatten())
        return skip * images + out * predicted.float()

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise that `count` images start from, (count, channels, height, width), of unit variance."""
        return torch.randn((count, *self.setup.image_shape), generator=rng, device=self.setup.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Remove the noise in the steps set by the loss's options.

        The predicted image is clamped to the range of images, which always contains the mean of the possible images
        (Ho et al. 2020 clip it too). Otherwise, early in training, the error of `ddpm` at high noise, which is σ times
        that of the network, would carry images away.
        """
        return self._in_range(follow(self._predict, latents, self.levels))

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, each from its own noise."""
        return self.generate(self.latents(count, rng))

    def sample_with(
        self, sampler: genbench.Sampler, count: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Return `count` images from the same noise as `sample`, drawn by this sampler."""
        chosen, noise = sampler.options, self.latents(count, rng)
        levels = sampling_levels(dataclasses.replace(self.formulation.options, steps=chosen.steps))
        if isinstance(chosen, DDIMOptions):
            return self._in_range(denoise_in_steps(self._predict, noise, levels, chosen.eta, rng))
        return self._in_range(follow(self._predict, noise, levels))

    def _predict(self, images: Tensor, level: float) -> Tensor:
        sigma = torch.full((len(images), 1, 1, 1), level, device=images.device)
        return self._in_range(self.denoise(images, sigma))

    def _in_range(self, images: Tensor) -> Tensor:
        low, high = self.setup.model.value_range
        return images.clamp(low, high)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: images are not encoded."""
        raise NotImplementedError("diffusion models do not reconstruct")
