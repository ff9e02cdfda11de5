"""The family `diffusion`: one network learns to take noise away, and draws images by taking it away step by step.

A model's network is `denoiser(images, noise) -> images`: (B, channels, height, width), scaled by c_in, and what it is
told of the noise level, (B,); it returns F, of the same shape. Its latents are the noise that an image starts from, so
there is one image for each, and a way between two.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_diffusion.formulations import DDPM, EDM, Formulation, sampling_levels
from genbench_diffusion.sampler import follow


class Diffusion:
    """One player: the denoiser."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, EDM | DDPM):
            raise TypeError(f"a loss of the family diffusion creates an EDM or a DDPM, not {type(setup.loss).__name__}")
        if setup.model.conditional:
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, which the family diffusion is not.",
                "Leave conditional=False in its spec.",
            )
        self.setup = setup
        self.formulation: Formulation = setup.loss
        self.denoiser = setup.networks["denoiser"]
        self.levels = sampling_levels(self.formulation.options)

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("denoiser", ("denoiser",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Put noise on images, each at a level of its own, and compare what is left of it with the images."""
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
        """Take the noise away in the steps that the loss' options say.

        What the network takes for the image is kept in the range of images, where the mean of all that it could be
        always lies (Ho et al. 2020 clip it too): at high noise the error of `ddpm`, which is σ times that of the
        network, would otherwise carry images away that have not been trained for long.
        """
        low, high = self.setup.model.value_range

        def denoise(images: Tensor, level: float) -> Tensor:
            sigma = torch.full((len(images), 1, 1, 1), level, device=images.device)
            return self.denoise(images, sigma).clamp(low, high)

        return follow(denoise, latents, self.levels).clamp(low, high)  # it ends there, but for rounding

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, each from noise of its own."""
        return self.generate(self.latents(count, rng))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: images are not encoded."""
        raise NotImplementedError("diffusion models do not reconstruct")
