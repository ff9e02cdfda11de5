"""A check for batches of one image: batch norm needs several values per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genbench.errors import UsageError


@dataclass(frozen=True)
class _RequireSeveralValues:
    """A forward hook that rejects a training batch with a single value per channel."""

    layer: str

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0]
        if module.training and values.numel() == values.shape[1]:
            raise UsageError(
                f"With batch_size = 1 the batch norm {self.layer} has one value per channel, which it always "
                "normalises to 0.",
                "Use --batch-size 2 or more, or a network without batch norm there.",
                code="GB509",
            )


def require_several_values(networks: Mapping[str, nn.Module]) -> None:
    """Make each batch norm of these networks raise `UsageError`, with its name, if it receives one value per channel.

    For training with batches of one image: after a convolution there are still many values per channel, but after a
    dense layer there is only one, and torch's own error does not name the layer.
    """
    for name, network in networks.items():
        for path, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_pre_hook(_RequireSeveralValues(f"{name}.{path}"))
