"""The step of diffusers' example of unconditional training: UNet2DModel, DDPMScheduler, AdamW, gradients of norm ≤ 1.

The learning rate is constant, and no averaged weights are kept, on either side. Without `accelerate`, which adds only
work to a step in one process.
"""

from __future__ import annotations

from typing import Any

import example_scripts
import torch
from diffusers import DDPMScheduler
from images import GreyImages, to_symmetric
from torch import nn
from torch.nn import functional as F
from trainer import Losses, Setting


class DiffusersScript:
    """The loop over batches of a DataLoader."""

    def __init__(self, setting: Setting) -> None:
        self.device = setting.device
        (denoiser,) = example_scripts.initial_networks(setting)
        unet = denoiser.unet
        assert isinstance(unet, nn.Module)
        self.model = unet.to(self.device)
        self.networks = [self.model]
        self.scheduler: Any = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
        recipe = setting.recipe
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=recipe["learning_rate"],
            betas=(recipe["beta1"], recipe["beta2"]),
            weight_decay=recipe["weight_decay"],
        )
        self.most = recipe["clip_gradient"]
        self.loader = example_scripts.make_loader(GreyImages(to_symmetric(1)), setting)

    def train(self, steps: int) -> Losses:
        """Train, and read the loss in every step."""
        self.model.train()
        losses = []
        for batch, _ in self.loader.take(steps):
            images = batch.to(self.device)
            noise = torch.randn(images.shape, device=self.device)
            times = torch.randint(0, 1000, (len(images),), device=self.device).long()
            noisy = self.scheduler.add_noise(images, noise, times)
            loss = F.mse_loss(self.model(noisy, times).sample, noise)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.most)
            self.optimizer.step()
            self.optimizer.zero_grad()
            losses.append(loss.detach().item())
        return {"unet": losses}
