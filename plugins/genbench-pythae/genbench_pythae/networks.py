"""pythae's models as genbench's networks.

The network `autoencoder` is the pythae model, with the multilayer perceptrons that pythae builds by default:

    encoder    image → 512 ReLU → latent_dim (mean), and latent_dim (log variance) where the model has a posterior
    decoder    latent_dim → 512 ReLU → image, sigmoid

Children that another loss trains (a discriminator; the decoder of PIWAE) are networks of their own. `prior` holds the
statistics that a model without a prior is sampled from.
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
    """Return the networks of the model of that name."""
    wrapped = BY_NAME[name]
    values = dataclasses.asdict(options)
    try:
        config = getattr(pythae.models, wrapped.config)(input_dim=image_shape, latent_dim=latent_dim, **values)
        model: nn.Module = getattr(pythae.models, wrapped.model)(config)
    except AssertionError as error:  # how pythae refuses values
        raise genbench.GenbenchError(f"pythae refuses an option of '{name}': {error}.", "Change it.") from error
    networks = {"autoencoder": model}
    for player, _ in wrapped.players[1:]:
        networks[player] = take_out(model, player)
    if wrapped.latents == "fitted":
        networks["prior"] = FittedGaussian(latent_dim)
    return networks


def take_out(model: nn.Module, child: str) -> nn.Module:
    """Return the child, which `model` no longer counts as a part of it but still calls."""
    network: nn.Module = model.get_submodule(child)
    delattr(model, child)
    connect(model, {child: network})
    return network


def connect(model: nn.Module, children: Mapping[str, nn.Module]) -> None:
    """Let `model` call these networks, as attributes that are no part of it."""
    for name, network in children.items():
        model.__dict__[name] = network


def to_device(model: nn.Module, device: torch.device) -> None:
    """Move what pythae keeps as a plain attribute and would copy to the device in every step."""
    if isinstance(model, pythae.models.VAMP):
        model.idle_input = model.idle_input.to(device)
