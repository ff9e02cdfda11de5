"""A checkpoint of the FID Inception network with random weights, which is as fast as the published one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import torch
from pytorch_fid import inception


def write_random_weights(path: Path) -> Path:
    """Write weights that keep activations near unit scale, unless the file already exists."""
    if path.is_file():
        return path
    torch.manual_seed(0)
    with (
        mock.patch.object(inception, "load_state_dict_from_url", lambda *_args, **_kwargs: {}),
        mock.patch.object(inception.torchvision.models.Inception3, "load_state_dict", lambda *_args: None),
    ):
        network: Any = inception.fid_inception_v3()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return path
