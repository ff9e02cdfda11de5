"""pythae's models as genbench's networks.

The network `autoencoder` is the pythae model with pythae's default multilayer perceptrons:

    encoder    image → 512 ReLU → latent_dim (mean), and latent_dim (log variance) if the model has a posterior
    decoder    latent_dim → 512 ReLU → image, sigmoid

Children with a separate loss (a discriminator; the decoder of PIWAE) are separate networks. `prior` holds the
statistics from which a model without a prior is sampled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pythae.models
import torch
from torch import nn

import genbench
from genbench_pythae.catalogue import BY_NAME
from genbench_pythae.latents import FittedGaussian


def build(name: str, image_shape: genbench.Shape, latent_dim: int, options: Any) -> dict[str, nn.Module]:
    """Return the networks of the named model."""
    wrapped = BY_NAME[name]
    values = dataclasses.asdict(options)
    try:
        config = getattr(pythae.models, wrapped.config)(input_dim=image_shape, latent_dim=latent_dim, **values)
        model: nn.Module = getattr(pythae.models, wrapped.model)(config)
    except AssertionError as error:  # how pythae rejects values
        raise genbench.GenbenchError(f"pythae rejects an option of '{name}': {error}.", "Change it.") from error
    networks = {"autoencoder": model}
    for player, _ in wrapped.players[1:]:
        networks[player] = take_out(model, player)
    if wrapped.latents == "fitted":
        networks["prior"] = FittedGaussian(latent_dim)
    return networks


def take_out(model: nn.Module, child: str) -> nn.Module:
    """Return the child, which is no longer registered as a submodule of `model` but is still called by it."""
    network: nn.Module = model.get_submodule(child)
    delattr(model, child)
    connect(model, {child: network})
    return network


def connect(model: nn.Module, children: Mapping[str, nn.Module]) -> None:
    """Let `model` call these networks as attributes that are not its submodules."""
    for name, network in children.items():
        model.__dict__[name] = network


def to_device(model: nn.Module, device: torch.device) -> None:
    """Move plain attributes that pythae would otherwise copy to the device in every step."""
    if isinstance(model, pythae.models.VAMP):
        model.idle_input = model.idle_input.to(device)
