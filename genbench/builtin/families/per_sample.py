"""Whether a network processes the images of a batch independently, so that two batches can be processed as one.

Batch norm and similar layers use batch statistics, dropout draws noise per batch, and spectral norm makes one iteration
per forward pass. The behaviour of unknown modules cannot be determined. So only networks composed entirely of the
layers below count as independent.
"""

from __future__ import annotations

from torch import nn

INDEPENDENT_LAYERS = frozenset(
    {
        nn.Sequential, nn.Identity, nn.Flatten, nn.Unflatten, nn.Upsample,
        nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm, nn.GroupNorm,
        nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh,
        nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d,
    }
)  # fmt: skip


def processes_independently(network: nn.Module) -> bool:
    """Return whether the network consists only of torch layers that process images independently."""
    layers = list(network.modules())
    return all(
        type(layer) in INDEPENDENT_LAYERS
        and not (layer._forward_hooks or layer._forward_pre_hooks)  # which spectral norm may use
        and (not isinstance(layer, nn.Flatten) or layer.start_dim > 0 or layer is layers[-1])  # (B, 1, 1, 1) -> (B,)
        for layer in layers
    )
