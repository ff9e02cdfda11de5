"""Batch norm needs several values to normalise by: a batch of one image may have a single one per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genbench.errors import UsageError


@dataclass(frozen=True)
class _SeveralValues:
    """A forward hook that stops a training batch which the layer could only normalise to nothing."""

    layer: str

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0]
        if module.training and values.numel() == values.shape[1]:
            raise UsageError(
                f"batch_size = 1 leaves the batch norm {self.layer} one value per channel: less its mean it is 0, "
                "whatever the image.",
                "Use --batch-size 2 or more, or a network without batch norm there.",
            )


def require_several_values(networks: Mapping[str, nn.Module]) -> None:
    """Let each batch norm of these networks raise `UsageError`, with its name, where it gets one value per channel.

    For training with batches of one image: behind a convolution there are many values per channel still, behind a
    dense layer there is one, of which torch complains without saying where.
    """
    for name, network in networks.items():
        for path, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_pre_hook(_SeveralValues(f"{name}.{path}"))
