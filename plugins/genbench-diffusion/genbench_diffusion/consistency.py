"""The family `consistency`: a network maps an image with noise of any level to the image itself, in one evaluation.

A model's network is `denoiser`, as in the family `diffusion`, of unconditional models. The latents are the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

import genbench
from genbench_diffusion import ConsistencyOptions

TensorOrFloat = TypeVar("TensorOrFloat", Tensor, float)


class ConsistencyTraining:
    """What the loss `consistency` defines: the noise levels of training, and the function f."""

    def __init__(self, options: ConsistencyOptions) -> None:
        self.options = options
        self.roots = tuple(math.pow(level, 1 / options.rho) for level in (options.sigma_min, options.sigma_max))

    def level_count(self, progress: Tensor) -> Tensor:
        """Return N - 1, a scalar: `first_levels`, doubled at equal shares of the budget until it is `last_levels`.

        Song & Dhariwal 2023 (arXiv:2310.14189), equation 7, where N(k) counts the levels.
        """
        first, last = self.options.first_levels, max(self.options.first_levels, self.options.last_levels)
        doublings = math.floor(math.log2(last // first)) + 1
        return (first * 2 ** (progress * doublings).floor()).clamp(max=last)

    def level(self, share: TensorOrFloat) -> TensorOrFloat:
        """Return σ at shares of the way from σ_min, 0, to σ_max, 1; index / (N - 1) for N levels.

        Karras et al. 2022 (arXiv:2206.00364), equation 5.
        """
        least, greatest = self.roots
        return (least + share * (greatest - least)) ** self.options.rho

    def draw_indices(self, size: int, count: Tensor, rng: torch.Generator) -> Tensor:
        """Draw indices 0 … N - 2 with the probability of N(p_mean, p_std²) between ln σ_i and ln σ_(i + 1), (size,).

        That is their equation 10: a log-normal noise level, truncated to the range, falls between two levels.
        """
        spread = self.options.p_std * math.sqrt(2)
        low, high = (
            math.erf((math.log(level) - self.options.p_mean) / spread)
            for level in (self.options.sigma_min, self.options.sigma_max)
        )
        uniform = torch.rand(size, generator=rng, device=rng.device)
        sigma = (torch.erfinv(low + (high - low) * uniform) * spread + self.options.p_mean).exp()
        least, greatest = self.roots
        index = ((sigma.pow(1 / self.options.rho) - least) / (greatest - least) * count).floor()
        return torch.minimum(index.clamp(min=0), count - 1)

    def coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return c_skip, c_out, c_in and c_noise; at σ_min c_skip = 1 and c_out = 0.

        Song et al. 2023 (arXiv:2303.01469), appendix C, and Karras et al. 2022, table 1.
        """
        data, above = self.options.sigma_data, sigma - self.options.sigma_min
        total = sigma.square() + data**2
        skip = data**2 / (above.square() + data**2)
        return skip, data * above / total.sqrt(), total.rsqrt(), sigma.log() / 4

    def distance(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the pseudo-Huber distance √(|a - b|² + c²) - c of images (B, …), (B,); c = 0.00054 √values.

        Song & Dhariwal 2023, equation 9.
        """
        bend = 0.00054 * math.sqrt(one[0].numel())
        return ((one - other).square().flatten(1).sum(1) + bend**2).sqrt() - bend


class Consistency:
    """One player: the denoiser."""

    def __init__(self, setup: genbench.Setup) -> None:
        if setup.model.conditional:
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, which the family consistency is not.",
                "Set conditional=False in its spec.",
            )
        self.setup = setup
        self.training: ConsistencyTraining = setup.loss
        self.denoiser = setup.networks["denoiser"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("denoiser", ("denoiser",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Compare what the network makes of an image at two neighbouring levels of the same noise.

        Song & Dhariwal 2023, section 3: the target comes from the same weights, and λ = 1 / (σ' - σ).
        """
        images, rng, training = batch.images, batch.rng, self.training
        progress = torch.zeros((), device=images.device) if batch.progress is None else batch.progress
        count = training.level_count(progress)
        index = training.draw_indices(len(images), count, rng)
        lower, upper = training.level(index / count), training.level((index + 1) / count)
        noise = torch.randn(images.shape, generator=rng, device=images.device)
        found = self.image(images + upper[:, None, None, None] * noise, upper)
        with torch.no_grad():
            target = self.image(images + lower[:, None, None, None] * noise, lower)
        error = training.distance(found, target)
        return genbench.Objective((error / (upper - lower)).mean(), {"distance": error.mean(), "levels": count + 1})

    def image(self, images: Tensor, sigma: Tensor) -> Tensor:
        """Return f(x; σ) of images (B, …) with noise of levels σ, (B,)."""
        skip, out, into, noise = (each[:, None, None, None] for each in self.training.coefficients(sigma))
        predicted: Tensor = self.denoiser(into * images, noise.flatten())
        return skip * images + out * predicted.float()

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise that `count` images start from, (count, channels, height, width), of unit variance."""
        return torch.randn((count, *self.setup.image_shape), generator=rng, device=self.setup.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image for each latent, from one evaluation of the network."""
        return self._predict(self.training.options.sigma_max * latents, self.training.options.sigma_max)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, each from its own noise."""
        return self.generate(self.latents(count, rng))

    def sample_with(
        self, sampler: genbench.Sampler, count: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Return images from the same noise; each further step adds noise of a lower level and removes it.

        Song et al. 2023 (arXiv:2303.01469), algorithm 1, at levels evenly spaced in σ^(1/ρ).
        """
        images = self.sample(count, rng)
        steps, least = sampler.options.steps, self.training.options.sigma_min
        for step in range(1, steps):
            level = self.training.level(1 - step / steps)
            noise = torch.randn(images.shape, generator=rng, device=images.device)
            images = self._predict(images + math.sqrt(level**2 - least**2) * noise, level)
        return images

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: images are not encoded."""
        raise NotImplementedError("consistency models do not reconstruct")

    def _predict(self, images: Tensor, level: float) -> Tensor:
        low, high = self.setup.model.value_range
        return self.image(images, torch.full((len(images),), level, device=images.device)).clamp(low, high)
