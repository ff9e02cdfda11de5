"""Whether a network treats each image of a batch by itself, so that two batches can go through it as one.

Batch norm and its like take statistics of a batch, dropout draws noise by the batch, spectral norm goes on by one
iteration in each forward pass. What an unknown module does cannot be known. So only networks that are put together of
the layers below, and of nothing else, are taken for ones that do no such thing.
"""

from __future__ import annotations

from torch import nn

EACH = frozenset(
    {
        nn.Sequential, nn.Identity, nn.Flatten,
        nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm, nn.GroupNorm,
        nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh,
        nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d,
    }
)  # fmt: skip


def acts_on_each(network: nn.Module) -> bool:
    """Return whether the network is made only of layers that treat images one by one, as torch has them."""
    layers = list(network.modules())
    return all(
        type(layer) in EACH
        and not (layer._forward_hooks or layer._forward_pre_hooks)  # spectral norm may be one
        and (not isinstance(layer, nn.Flatten) or layer.start_dim > 0 or layer is layers[-1])  # (B, 1, 1, 1) -> (B,)
        for layer in layers
    )
