"""A checkpoint in the published format of the FID Inception network with random weights, so no download is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_fid import inception as peer
from torch.nn import init


def write_random_weights(path: Path) -> Path:
    """Write weights with activations of about unit size and non-trivial batch norms; return the path."""
    with _constructed_without_weights({}) as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(peer.torchvision.models.Inception3, "load_state_dict", lambda *_args: None)
        network = peer.fid_inception_v3()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, torch.nn.BatchNorm2d):
                init.normal_(module.running_mean, std=0.1)
                init.uniform_(module.running_var, 0.5, 1.5)
                init.normal_(module.bias, std=0.1)
    torch.save(network.state_dict(), path)
    return path


def pytorch_fids_own(path: Path) -> Any:
    """Return pytorch-fid's InceptionV3 as pytorch-fid builds it, with the weights of a file, in evaluation mode."""
    with _constructed_without_weights(torch.load(path, weights_only=True)):
        return peer.InceptionV3([peer.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()


@contextmanager
def _constructed_without_weights(state: dict[str, Any]) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peer, "load_state_dict_from_url", lambda *_args, **_kwargs: state)
        yield patch
