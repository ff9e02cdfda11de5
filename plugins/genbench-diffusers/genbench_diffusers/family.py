"""The family `diffusers`: diffusers' schedulers add noise to images, and remove it with what the network predicts.

The latents are the noise that an image starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import diffusers
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn.functional import mse_loss

import genbench
from genbench_diffusers import SCHEDULERS, LossOptions


def create_loss(options: LossOptions) -> LossOptions:
    """Return the options, from which the family creates schedulers."""
    return options


class Diffusers:
    """One player: the U-Net."""

    def __init__(self, setup: genbench.Setup) -> None:
        if setup.model.conditional:
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, which the family diffusers is not.",
                "Set conditional=False in its spec.",
            )
        self.setup = setup
        self.options: LossOptions = setup.loss
        self.unet = setup.networks["unet"]
        # The settings of Ho et al. 2020. What is not stated, `from_config` replaces with the defaults of each class
        self.scheduler = DDPMScheduler(
            beta_start=1e-4,
            beta_end=0.02,
            clip_sample=True,
            prediction_type=self.options.prediction_type,
            beta_schedule=self.options.beta_schedule,
        )
        self.scheduler.alphas_cumprod = self.scheduler.alphas_cumprod.to(setup.device)  # as `add_noise` does each time

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("unet", ("unet",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Add noise to the images, each at a step of its own, and compare the prediction with the target."""
        images, rng = batch.images, batch.rng
        noise = torch.randn(images.shape, generator=rng, device=images.device)
        steps: int = self.scheduler.config["num_train_timesteps"]
        times = torch.randint(steps, (len(images),), generator=rng, device=images.device)
        predicted = self.unet(self.scheduler.add_noise(images, noise, times), times).float()
        return genbench.Objective(mse_loss(predicted, self._target(images, noise, times)), {})

    def _target(self, images: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        match self.options.prediction_type:
            case "epsilon":
                return noise
            case "sample":
                return images
            case "v_prediction":
                velocity: Tensor = self.scheduler.get_velocity(images, noise, times)
                return velocity

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise that `count` images start from, (count, channels, height, width), of unit variance."""
        return torch.randn((count, *self.setup.image_shape), generator=rng, device=self.setup.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Remove the noise with DDIMScheduler, without new noise."""
        return self._remove_noise("ddim", latents, self.options.steps, {"eta": 0.0})

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, each from its own noise."""
        return self.generate(self.latents(count, rng))

    def sample_with(
        self, sampler: genbench.Sampler, count: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Return `count` images from the same noise as `sample`, drawn by another scheduler."""
        settings: dict[str, Any] = {}
        if sampler.name == "ddim":
            settings = {"eta": sampler.options.eta, "generator": rng}
        elif sampler.name in ("ddpm", "euler"):
            settings = {"generator": rng}
        return self._remove_noise(sampler.name, self.latents(count, rng), sampler.options.steps, settings)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: images are not encoded."""
        raise NotImplementedError("diffusion models do not reconstruct")

    def _remove_noise(self, name: str, noise: Tensor, steps: int, settings: dict[str, Any]) -> Tensor:
        """Run the loop of diffusers' pipelines, with a scheduler of its own: they keep state."""
        scheduler = getattr(diffusers, SCHEDULERS[name][0]).from_config(self.scheduler.config)
        scheduler.set_timesteps(steps, device=noise.device)
        images = noise * scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            predicted = self.unet(scheduler.scale_model_input(images, time), time.expand(len(images))).float()
            images = scheduler.step(predicted, time, images, **settings).prev_sample
        low, high = self.setup.model.value_range
        return images.clamp(low, high)
