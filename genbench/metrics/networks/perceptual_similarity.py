"""The metric `lpips`: the distance between held-out images and their reconstructions in the layers of AlexNet.

Learned perceptual image patch similarity, version 0.1 (Zhang et al., 2018, arXiv:1801.03924, eq. 1): over the five
layers l with outputs scaled to length 1 across channels, and weights w ≥ 0 that were fitted to human judgements,

    LPIPS = Σₗ mean over places of Σ_channels wₗ (ŷₗ - ŷ'ₗ)²

The network is that of torchvision, with its weights of ImageNet; w comes with the packages torchmetrics and lpips.
Neither is downloaded here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.standard_errors import mean_and_standard_error

NAME = "lpips"
VARIABLE = "GENBENCH_ALEXNET_WEIGHTS"  # environment variable that names another file
FILE_NAME = "alexnet-owt-7be5be79.pth"
URL = f"https://download.pytorch.org/models/{FILE_NAME}"
SHA256_PREFIX = "7be5be79"  # of the published file, as in its name
SMALLEST = 31  # pixels; below, the third layer has no output
_HEADS = {"torchmetrics": "functional/image/lpips_models/alex.pth", "lpips": "weights/v0.1/alex.pth"}
_LAYERS = (1, 4, 7, 9, 11)  # of AlexNet's features: its five rectified outputs
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of values in [-1, 1]
_SMALL = 1e-10  # added to a length before dividing by it
_AT_ONCE = 64  # pairs


class _NotAtHand(Exception):
    """Something that LPIPS needs is missing; the message says how to get it."""


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean over held-out images, where the weights are at hand."""
    pairs = evaluation.reconstructions
    if pairs is None:
        return Unavailable(NAME, "the model does not reconstruct images.")
    channels, height, width = pairs[0].shape[1:]
    if channels not in (1, 3) or min(height, width) < SMALLEST:
        size = f"{channels}×{height}×{width}"
        return Unavailable(
            NAME, f"it needs images of 1 or 3 channels and at least {SMALLEST} pixels; these are {size}."
        )
    try:
        network, heads, sha256 = _load()
    except _NotAtHand as error:
        return Unavailable(NAME, str(error))
    network.to(evaluation.device)

    def distances(a: Tensor, b: Tensor) -> Tensor:
        on_device = [head.to(a.device) for head in heads]
        found = [
            lpips(*pair, network, on_device)
            for pair in zip(torch.split(a, _AT_ONCE), torch.split(b, _AT_ONCE), strict=True)
        ]
        return torch.cat(found).cpu()

    with torch.inference_mode():
        values: Tensor = computed_on(evaluation.device, distances, *pairs)
    value, standard_error = mean_and_standard_error(values)
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=standard_error,
        n=len(values),
        direction="lower",
        protocol={
            "network": "AlexNet",
            "version": "0.1",
            "weights_sha256": sha256[:16],
            "value_range": "[-1, 1]",
            "resize": "none",
            "split": "test",
        },
        null=None,
    )


def lpips(a: Tensor, b: Tensor, network: nn.Sequential, heads: list[Tensor]) -> Tensor:
    """Return the distance of each pair of images (N, 1 or 3, h, w) in [0, 1]: (N,) float64."""
    layers = [_layers(images, network) for images in (a, b)]
    total = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    for one, other, weights in zip(*layers, heads, strict=True):
        total += ((one - other).square() * weights).sum(1).mean((1, 2)).double()
    return total


def _layers(images: Tensor, network: nn.Sequential) -> list[Tensor]:
    """Return the outputs of the five layers, each scaled to length 1 across channels."""
    shift, scale = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    outputs = (2 * images.float().expand(-1, 3, -1, -1) - 1 - shift) / scale
    found = []
    for number, layer in enumerate(network):
        outputs = layer(outputs)
        if number in _LAYERS:
            found.append(outputs / (outputs.square().sum(1, keepdim=True).sqrt() + _SMALL))
    return found


def _load() -> tuple[nn.Sequential, list[Tensor], str]:
    """Return AlexNet's features, the weights of its layers, (channels, 1, 1) each, and the SHA-256 of its file."""
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # RuntimeError: it does not belong to this torch
        raise _NotAtHand(f"it needs torchvision: pip install torchvision ({error})") from error
    path, heads = _weights_path(), _heads_path()
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if SHA256_PREFIX in path.name and not sha256.startswith(SHA256_PREFIX):
            raise _NotAtHand(f"{path} has sha256 {sha256[:8]}… instead of the {SHA256_PREFIX}… of its name: replace it")
        network = torchvision.models.alexnet(weights=None)
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        stored = torch.load(heads, map_location="cpu", weights_only=True)
        weights = [stored[f"lin{number}.model.1.weight"].float()[0] for number in range(len(_LAYERS))]
    except _NotAtHand:
        raise
    except Exception as error:  # a damaged file can raise anything
        first = str(error).partition("\n")[0] or type(error).__name__
        raise _NotAtHand(f"the weights cannot be loaded ({first}): replace {path}") from error
    features: nn.Sequential = network.features[: _LAYERS[-1] + 1].eval().requires_grad_(False)
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # layers before it are kept
    return features, weights, sha256


def _weights_path() -> Path:
    named = os.environ.get(VARIABLE)
    path = Path(named).expanduser() if named else Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME
    if not path.is_file():
        remedy = f"correct {VARIABLE}" if named else f"put {URL} there, or name it with {VARIABLE}"
        raise _NotAtHand(f"AlexNet's weights are not at hand: {path} is not a file; {remedy}")
    return path


def _heads_path() -> Path:
    for package, name in _HEADS.items():
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    raise _NotAtHand("the weights of its layers come with torchmetrics: pip install torchmetrics")
