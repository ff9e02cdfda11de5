"""The trainers of the libraries pythae and torchgan, used as in their documentation."""

from __future__ import annotations

import logging
import os
import tempfile

import genbench_trainer
import torch
from example_scripts import make_loader
from images import colour_images, grey_images
from torch import nn
from torch.utils.data import DataLoader
from trainer import EndlessLoader, Losses, Setting, copy_parameters


class PythaeTrainer:
    """pythae's `BaseTrainer` on its default MLP VAE; images are float32 in memory, as in its pipeline."""

    def __init__(self, setting: Setting) -> None:
        import pythae.models
        from pythae.data.datasets import BaseDataset
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        logging.getLogger("pythae").setLevel(logging.ERROR)
        model = pythae.models.VAE(pythae.models.VAEConfig(input_dim=(1, 28, 28), latent_dim=_latent_dim(setting)))
        copy_parameters(genbench_trainer.build(setting).setup.networks.values(), [model])
        config = BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(prefix="pythae-"),
            per_device_train_batch_size=setting.batch_size,
            learning_rate=1e-3,
            optimizer_cls="Adam",
            train_dataloader_num_workers=setting.workers,
            no_cuda=setting.device.type == "cpu",
        )
        images = grey_images() / 255.0
        self.trainer = BaseTrainer(model, BaseDataset(images, torch.zeros(len(images))), training_config=config)
        self.trainer.prepare_training()
        self.loader = EndlessLoader(self._whole_batches(self.trainer.train_loader))
        self.trainer.train_loader = self.loader
        self.networks: list[nn.Module] = [self.trainer.model]

    def train(self, steps: int) -> Losses:
        """Run a step in pythae's sense: an epoch of so many batches, which reports only the mean loss."""
        self.loader.take(steps)
        return {"autoencoder": [self.trainer.train_step(1)]}

    @staticmethod
    def _whole_batches(loader: DataLoader[object]) -> DataLoader[object]:
        return DataLoader(
            loader.dataset,
            batch_size=loader.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )


class TorchganTrainer:
    """torchgan's `Trainer` on its DCGAN for 64 pixels, the discriminator ending in a logit; minimax losses.

    Its work at the end of an epoch, a checkpoint and sample images, is left out.
    """

    def __init__(self, setting: Setting) -> None:
        os.environ |= {"TENSORBOARD_LOGGING": "0", "VISDOM_LOGGING": "0", "CONSOLE_LOGGING": "0"}
        from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
        from torchgan.models import DCGANDiscriminator, DCGANGenerator
        from torchgan.trainer import Trainer

        class Quiet(Trainer):  # type: ignore[misc, unused-ignore]
            def save_model(self, epoch: int, save_items: object = None) -> None:
                """Write nothing."""

        adam = {"name": torch.optim.Adam, "args": {"lr": 2e-4, "betas": (0.5, 0.999)}}
        models = {
            "generator": {
                "name": DCGANGenerator,
                "args": {"encoding_dims": _latent_dim(setting), "out_size": 64, "out_channels": 3},
                "optimizer": adam,
            },
            "discriminator": {
                "name": DCGANDiscriminator,
                "args": {"in_size": 64, "in_channels": 3, "last_nonlinearity": nn.Identity()},
                "optimizer": adam,
            },
        }
        folder = tempfile.mkdtemp(prefix="torchgan-")
        self.trainer = Quiet(
            models,
            [MinimaxDiscriminatorLoss(), MinimaxGeneratorLoss()],
            device=setting.device,
            epochs=1,
            checkpoints=f"{folder}/gan",
            recon=folder,
        )
        self.trainer.logger.logger_end_epoch.clear()
        self.networks: list[nn.Module] = [self.trainer.generator, self.trainer.discriminator]
        copy_parameters(genbench_trainer.build(setting).setup.networks.values(), self.networks)
        assert setting.folder is not None
        self.loader = make_loader(colour_images(setting.folder), setting)

    def train(self, steps: int) -> Losses:
        """Run one epoch of so many batches."""
        logged = self.trainer.logger.get_loss_viz().logs
        names = {"discriminator": "MinimaxDiscriminatorLoss", "generator": "MinimaxGeneratorLoss"}
        before = {name: len(logged[name]) for name in names.values()}
        self.trainer(self.loader.take(steps))
        return {player: [float(value) for value in logged[name][before[name] :]] for player, name in names.items()}


def _latent_dim(setting: Setting) -> int:
    return genbench_trainer.build(setting).setup.latent_dim
