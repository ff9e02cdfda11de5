"""A plugin that registers a family, with a model and a loss of it."""

import math

import torch
from torch import nn

import genbench


class Matching:
    """Trains a generator until the mean of its images is that of the real ones."""

    def __init__(self, setup):
        self.setup, self.generator = setup, setup.networks["generator"]

    def phases(self):
        """Return the one phase."""
        return [genbench.Phase("match", ("generator",), self.objective)]

    def objective(self, batch):
        """Compare the means."""
        fake = self.sample(len(batch.images), batch.rng)
        return genbench.Objective(self.setup.loss(fake.mean(0), batch.images.mean(0)), {})

    def sample(self, count, rng, labels=None):
        """Return images."""
        return self.generator(torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device))


def build(image_shape, latent_dim, num_classes, options):
    """Return the generator."""
    return {
        "generator": nn.Sequential(
            nn.Linear(latent_dim, math.prod(image_shape)), nn.Tanh(), nn.Unflatten(1, image_shape)
        )
    }


@genbench.hookimpl
def genbench_families():
    """Register the family."""
    yield genbench.FamilySpec(
        name="my-family", summary="matches the mean", create=Matching, networks=("generator",), uses=()
    )


@genbench.hookimpl
def genbench_models():
    """Register the model."""
    yield genbench.ModelSpec(
        name="my-matcher", summary="one layer", family="my-family", build=build, default_loss="my-distance"
    )


@genbench.hookimpl
def genbench_losses():
    """Register the loss."""
    yield genbench.LossSpec(
        name="my-distance",
        summary="squared distance",
        formula="mean (a - b)²",
        family="my-family",
        create=lambda options: nn.functional.mse_loss,
    )
