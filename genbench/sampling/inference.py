"""Inference: networks in evaluation mode, without gradients, in a given precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genbench.measure.matmul_precision import tf32


@contextmanager
def evaluation_mode(networks: Iterable[nn.Module], statistics: str = "running") -> Iterator[None]:
    """Put networks into evaluation mode, and restore the mode of each module at the end.

    Args:
        networks: the networks whose modules are switched.
        statistics: 'running': batch norm uses its running averages; 'batch': it uses the statistics of the current
            batch, and the running averages do not change.
    """
    modules = list(dict.fromkeys(module for network in networks for module in network.modules()))
    modes = [module.training for module in modules]
    norms = [module for module in modules if isinstance(module, _BatchNorm) and module.track_running_stats]
    try:
        for module in modules:
            module.training = False
        if statistics == "batch":
            for norm in norms:
                norm.training, norm.track_running_stats = True, False  # uses batch statistics, updates nothing
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


@contextmanager
def inference_context(
    networks: Iterable[nn.Module], device: torch.device, precision: str = "fp32", statistics: str = "running"
) -> Iterator[None]:
    """Put networks into evaluation mode, without gradients, and compute in this precision.

    Samples are drawn in the precision of the recipe. Reconstructions and likelihoods of given images are computed in
    fp32 and with the running averages, whatever the precision of the training.
    """
    with (
        evaluation_mode(networks, statistics),
        torch.inference_mode(),
        tf32(precision == "tf32"),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        yield


def to_levels(images: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return float images, clamped to [low, high], as uint8: the nearest of 256 levels."""
    return ((images - low) / (high - low)).clamp(0, 1).mul(255).round().to(torch.uint8)
