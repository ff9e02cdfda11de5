"""The layers of the 2015-12-05 Inception network, from whichever package that ports them is installed.

This is the only module that imports pytorch-fid or torch-fidelity. Both built the network that TensorFlow's weights
belong to, with the same names of layers, and compute the same numbers: a test compares their features bit by bit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from genbench import ExtractorUnavailable

State = dict[str, Tensor]

_FAULTS = (ImportError, AttributeError)  # it is not installed, or does not fit the installed torchvision

# The layers between the points at which pytorch-fid's --dims chooses features, by their names in the weights.
_BLOCKS = (
    ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)


class InceptionNetwork(nn.Module):
    """Images (N, 3, 299, 299), prepared for the network, to features (N, 2048, 1, 1), in four blocks."""

    def __init__(self, layers: nn.Module) -> None:
        """Take the layers of a port, as attributes with the names in the weights."""
        super().__init__()
        convolutions = [[getattr(layers, name) for name in names] for names in _BLOCKS]
        pooling: list[list[nn.Module]] = [[nn.MaxPool2d(3, stride=2)], [nn.MaxPool2d(3, stride=2)], []]
        pooling.append([nn.AdaptiveAvgPool2d(1)])
        pairs = zip(convolutions, pooling, strict=True)
        self.blocks = nn.ModuleList([nn.Sequential(*each, *pool) for each, pool in pairs])

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of the last block."""
        for block in self.blocks:
            images = block(images)
        return images


def build_network(state: State) -> InceptionNetwork:
    """Return the network with these weights, without the download that the packages' constructors make.

    Raises `ExtractorUnavailable` where no package has the layers, and what torch raises for weights that do not fit.
    """
    problems = []
    for package, build in _PORTS.items():
        try:
            return InceptionNetwork(build(state))
        except _FAULTS as error:
            problems.append(f"{package}: {error}")
    raise ExtractorUnavailable(
        f"no package has the layers of the Inception network ({'; '.join(problems)}): "
        f"pip install {next(iter(_PORTS))}, or {list(_PORTS)[-1]}"
    )


def _import_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except RuntimeError as error:  # of a torchvision that does not belong to this torch
        raise ImportError(str(error)) from error


def _from_pytorch_fid(state: State) -> nn.Module:
    inception = _import_module("pytorch_fid.inception")
    with _weights_instead_of_download(inception, state):
        layers: nn.Module = inception.fid_inception_v3()
    return layers


def _from_torch_fidelity(state: State) -> nn.Module:
    inception = _import_module("torch_fidelity.feature_extractor_inceptionv3")
    with _weights_instead_of_download(inception, state):
        layers: nn.Module = inception.FeatureExtractorInceptionV3("inception-v3", ["2048"])
    return layers


_PORTS: dict[str, Callable[[State], nn.Module]] = {  # tried in this order
    "pytorch-fid": _from_pytorch_fid,
    "torch-fidelity": _from_torch_fidelity,
}


@contextmanager
def _weights_instead_of_download(module: Any, state: State) -> Iterator[None]:
    download = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *_args, **_kwargs: state
    try:
        yield
    finally:
        module.load_state_dict_from_url = download
