"""Training scripts with the steps of well-known examples (pytorch/examples, dcgan and vae).

A DataLoader that decodes and normalises images one by one; for GANs, separate backward passes of the discriminator on
real images and on fakes, and a generator step in which the discriminator's weights accumulate gradients too; losses
read on the host in every step; torch's default optimisers and memory layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import genbench_trainer
import torch
from images import GreyImages, colour_images, to_symmetric, to_unit
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from trainer import EndlessLoader, Losses, Setting, copy_parameters


class VAE(nn.Module):
    """784 - 400 - 20 - 400 - 784."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(784, 400)
        self.mean = nn.Linear(400, 20)
        self.log_variance = nn.Linear(400, 20)
        self.back = nn.Linear(20, 400)
        self.out = nn.Linear(400, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, and mean and log variance of the latents."""
        hidden = F.relu(self.hidden(x))
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        deviation = torch.exp(0.5 * log_variance)
        latents = mean + torch.randn_like(deviation) * deviation
        return torch.sigmoid(self.out(F.relu(self.back(latents)))), mean, log_variance


class VAEScript:
    """The script of the VAE: sums over pixels and images, Adam with a learning rate of 1e-3."""

    def __init__(self, setting: Setting) -> None:
        self.device = setting.device
        self.model = VAE().to(self.device)
        copy_parameters(initial_networks(setting), [self.model])
        self.networks = [self.model]
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.loader = make_loader(GreyImages(to_unit()), setting)

    def train(self, steps: int) -> Losses:
        """Train; the losses are nats per image."""
        losses = []
        for images, _ in self.loader.take(steps):
            x = images.to(self.device).view(-1, 784)
            self.optimizer.zero_grad()
            reconstruction, mean, log_variance = self.model(x)
            error = F.binary_cross_entropy(reconstruction, x, reduction="sum")
            divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = error + divergence
            loss.backward()
            losses.append(loss.item() / len(x))
            self.optimizer.step()
        return {"autoencoder": losses}


class GANScript:
    """The script of a GAN: the discriminator ends in a sigmoid, Adam with learning rate 2e-4 and beta1 0.5."""

    def __init__(
        self, setting: Setting, generator: nn.Module, discriminator: nn.Module, latents: Sequence[int]
    ) -> None:
        self.device = setting.device
        self.generator, self.discriminator = generator.to(self.device), discriminator.to(self.device)
        self.networks = [self.generator, self.discriminator]
        copy_parameters(initial_networks(setting), self.networks)
        self.latents = latents
        self.criterion = nn.BCELoss()
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        data = GreyImages(to_symmetric(1)) if setting.folder is None else colour_images(setting.folder)
        self.loader = make_loader(data, setting)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True

    def train(self, steps: int) -> Losses:
        """Train; the discriminator's loss is the sum over real images and fakes."""
        losses: Losses = {"discriminator": [], "generator": []}
        for images, _ in self.loader.take(steps):
            real = images.to(self.device)
            self.discriminator.zero_grad()
            labels = torch.full((len(real),), 1.0, device=self.device)
            real_output = self.discriminator(real).view(-1)
            real_loss = self.criterion(real_output, labels)
            real_loss.backward()
            real_output.mean().item()

            fake = self.generator(torch.randn(len(real), *self.latents, device=self.device))
            labels.fill_(0.0)
            fake_output = self.discriminator(fake.detach()).view(-1)
            fake_loss = self.criterion(fake_output, labels)
            fake_loss.backward()
            fake_output.mean().item()
            d_loss = real_loss + fake_loss
            self.d_optimizer.step()

            self.generator.zero_grad()
            labels.fill_(1.0)
            output = self.discriminator(fake).view(-1)
            g_loss = self.criterion(output, labels)
            g_loss.backward()
            output.mean().item()
            self.g_optimizer.step()
            losses["discriminator"].append(d_loss.item())
            losses["generator"].append(g_loss.item())
        return losses


def mlp_gan(setting: Setting) -> GANScript:
    """Return the script of the MLP GAN with 100 latents and images of 28×28."""
    return GANScript(setting, *mlp_networks(), [100])


def mlp_networks() -> tuple[nn.Module, nn.Module]:
    """Return the generator and the discriminator of the MLP GAN."""

    def normalised(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(0.2, inplace=True)]

    generator = nn.Sequential(
        nn.Linear(100, 128),
        nn.LeakyReLU(0.2, inplace=True),
        *normalised(128, 256),
        *normalised(256, 512),
        *normalised(512, 1024),
        nn.Linear(1024, 784),
        nn.Tanh(),
        nn.Unflatten(1, (1, 28, 28)),
    )
    discriminator = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(256, 1),
        nn.Sigmoid(),
    )
    return generator, discriminator


def dcgan(setting: Setting) -> GANScript:
    """Return the script of DCGAN for images of 64×64, with a width of 64 channels and 100 latents."""

    def up(inputs: int, outputs: int, stride: int, padding: int) -> list[nn.Module]:
        convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(True)]

    def down(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]

    generator = nn.Sequential(
        *up(100, 512, 1, 0),  # 512 × 4 × 4
        *up(512, 256, 2, 1),  # 256 × 8 × 8
        *up(256, 128, 2, 1),  # 128 × 16 × 16
        *up(128, 64, 2, 1),  # 64 × 32 × 32
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),  # 3 × 64 × 64
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False),  # 64 × 32 × 32
        nn.LeakyReLU(0.2, inplace=True),
        *down(64, 128),  # 128 × 16 × 16
        *down(128, 256),  # 256 × 8 × 8
        *down(256, 512),  # 512 × 4 × 4
        nn.Conv2d(512, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    return GANScript(setting, generator, discriminator, [100, 1, 1])


def make_loader(data: Dataset[Any], setting: Setting) -> EndlessLoader:
    """Return the DataLoader of a script: shuffled, without the last, incomplete batch."""
    return EndlessLoader(
        DataLoader(
            data,
            batch_size=setting.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=setting.workers,
            pin_memory=setting.device.type == "cuda",
        )
    )


def initial_networks(setting: Setting) -> list[nn.Module]:
    """Return genbench's networks at seed 0, from which all trainers copy their weights."""
    return [*genbench_trainer.build(setting).setup.networks.values()]
