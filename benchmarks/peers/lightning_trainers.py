"""Lightning's `Trainer` with a VAE and a GAN, as its documentation writes such modules.

The VAE is optimised automatically, the GAN manually, as Lightning requires where there are two optimisers. Logger,
checkpoints, progress bar and summary of the model are off.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import example_scripts
import lightning
import torch
from images import GreyImages, to_symmetric, to_unit
from paused_fit import PausedFit
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from trainer import Losses, Setting, copy_parameters


class VAEModule(lightning.LightningModule):
    """The VAE of the example scripts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Return the loss, in nats per image."""
        x = batch[0].view(-1, 784)
        reconstruction, mean, log_variance = self.model(x)
        error = F.binary_cross_entropy(reconstruction, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        loss = (error + divergence) / len(x)
        self.log("autoencoder", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return torch's default Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class GANModule(lightning.LightningModule):
    """The GAN of the example scripts; losses on probabilities."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latents: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.latents = generator, discriminator, latents

    def training_step(self, batch: Any, index: int) -> None:
        """Update the discriminator on real images and fakes, then the generator on the same fakes."""
        real = batch[0]
        d_optimizer, g_optimizer = self.optimizers()  # type: ignore[attr-defined]
        ones = torch.ones(len(real), 1, device=self.device)
        zeros = torch.zeros(len(real), 1, device=self.device)
        fake = self.generator(torch.randn(len(real), self.latents, device=self.device))

        of_real = F.binary_cross_entropy(self.discriminator(real), ones)
        of_fake = F.binary_cross_entropy(self.discriminator(fake.detach()), zeros)
        d_optimizer.zero_grad()
        self.manual_backward(of_real + of_fake)
        d_optimizer.step()

        g_loss = F.binary_cross_entropy(self.discriminator(fake), ones)
        g_optimizer.zero_grad()
        self.manual_backward(g_loss)
        g_optimizer.step()
        self.log_dict({"discriminator": of_real + of_fake, "generator": g_loss}, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return torch's default Adam for each network."""
        networks = (self.discriminator, self.generator)
        return [torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in networks]


class _Pause(lightning.Callback):
    """Pauses the trainer before the first batch of a request."""

    fit: PausedFit

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        """Wait for a request."""
        self.fit.batch_begins()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Hand over the losses that the module has logged."""
        self.fit.batch_ended({name: loss.detach() for name, loss in trainer.callback_metrics.items()})


class LightningTrainer:
    """A module in Lightning's `Trainer`."""

    def __init__(self, setting: Setting) -> None:
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")
        module, self.networks, data = (_vae if setting.model == "vae" else _gan)(setting)
        loader: DataLoader[Any] = DataLoader(
            data, batch_size=setting.batch_size, shuffle=True, drop_last=True, num_workers=setting.workers
        )
        pause = _Pause()
        trainer = lightning.Trainer(
            accelerator="cpu" if setting.device.type == "cpu" else "gpu",
            devices=1,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[pause],
        )
        self.fit = pause.fit = PausedFit(lambda: trainer.fit(module, loader))

    def train(self, steps: int) -> Losses:
        """Train so many batches."""
        return self.fit.train(steps)


def _vae(setting: Setting) -> tuple[lightning.LightningModule, list[nn.Module], GreyImages]:
    model = example_scripts.VAE()
    copy_parameters(example_scripts.initial_networks(setting), [model])
    return VAEModule(model), [model], GreyImages(to_unit())


def _gan(setting: Setting) -> tuple[lightning.LightningModule, list[nn.Module], GreyImages]:
    generator, discriminator = networks = example_scripts.mlp_networks()
    copy_parameters(example_scripts.initial_networks(setting), networks)
    return GANModule(generator, discriminator, latents=100), [*networks], GreyImages(to_symmetric(1))
