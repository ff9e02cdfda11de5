"""A plugin that registers a model."""

import math

from torch import nn

import genbench


def build(image_shape, latent_dim, num_classes, options):
    """Return generator and discriminator of dense layers."""
    values = math.prod(image_shape)
    return {
        "generator": nn.Sequential(
            nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, values), nn.Tanh(), nn.Unflatten(1, image_shape)
        ),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(values, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)),
    }


@genbench.hookimpl
def genbench_models():
    """Register the model."""
    yield genbench.ModelSpec(
        name="my-gan", summary="dense layers", family="adversarial", build=build, default_loss="non-saturating"
    )
