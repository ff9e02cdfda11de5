"""timm networks as extractors: weights, preprocessing, and the protocol that states both.

Images are resized as a whole, without the centre crop used for classification, because the border of a generated image
counts too.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench import ExtractorUnavailable

CHUNK = 32  # images per forward pass: large networks at 224 pixels fill the memory
MODEL_VARIABLE = "GENBENCH_TIMM_MODEL"
INTERPOLATIONS = ("bilinear", "bicubic")  # those that torch supports on tensors, with antialias


@dataclass(frozen=True)
class Network:
    """A network by its name in timm."""

    extractor: str  # name
    model: str  # in timm
    size: int | None = None  # input size in pixels if it differs from the model's own
    head: bool = False  # whether the features are the output of its head: CLIP's embedding

    @property
    def variable(self) -> str:
        """The environment variable that names its weights file."""
        return f"GENBENCH_{self.extractor.upper().replace('-', '_')}_WEIGHTS"


NETWORKS = {
    network.extractor: network
    for network in (
        # its own size of 518 pixels costs five times as much; published comparisons of generators use 224
        Network("dinov2-small", "vit_small_patch14_dinov2.lvd142m", size=224),
        Network("dinov2-base", "vit_base_patch14_dinov2.lvd142m", size=224),
        Network("dinov2-large", "vit_large_patch14_dinov2.lvd142m", size=224),  # that of Stein et al. 2023
        # OpenAI trained with the approximation of GELU that these names denote
        Network("clip-vit-b32", "vit_base_patch32_clip_quickgelu_224.openai", head=True),
        Network("clip-vit-l14", "vit_large_patch14_clip_quickgelu_224.openai", head=True),
        Network("clip-vit-l14-336", "vit_large_patch14_clip_quickgelu_336.openai", head=True),
    )
}


class VisionExtractor:
    """A loaded network; see `genbench.Extractor`."""

    def __init__(self, network: nn.Module, about: Network, config: Mapping[str, Any], device: torch.device) -> None:
        self.whiten = False  # these distances are defined on the features as they are
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = device
        self.size = tuple(config["input_size"][-2:]) if about.size is None else (about.size, about.size)
        self.mean = torch.tensor(config["mean"], device=device).view(1, -1, 1, 1)
        self.deviation = torch.tensor(config["std"], device=device).view(1, -1, 1, 1)
        asked = config["interpolation"]
        self.interpolation = asked if asked in INTERPOLATIONS else "bicubic"
        named = about.extractor if about.extractor != "timm" else f"timm-{about.model.lower()}"
        self.name = f"fd-{named}"
        self.protocol: Mapping[str, str | int | float | bool] = {
            "weights_sha256": weights_hash(network)[:16],
            "model": about.model,
            "layer": "image embedding" if about.head else "last, pooled",
            "resize": f"{self.size[0]}x{self.size[1]}, {self.interpolation} with antialias, no crop",
            "mean": ", ".join(f"{value:g}" for value in config["mean"]),
            "deviation": ", ".join(f"{value:g}" for value in config["std"]),
            "grey_repeated": True,
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, d) of uint8 images (N, 1 or 3, height, width)."""
        return torch.cat([self.network(self.prepare(part)) for part in torch.split(pixels, CHUNK)])

    def prepare(self, pixels: Tensor) -> Tensor:
        """Return the network's input, float (N, 3, size, size): resized, clamped, normalised."""
        images = pixels.to(self.device).float() / 255
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode=self.interpolation, align_corners=False, antialias=True)
        return (images.clamp(0, 1) - self.mean) / self.deviation


def load(device: torch.device, about: Network) -> VisionExtractor:
    """Return the extractor; raise `ExtractorUnavailable`, with the remedy, if timm or the weights are missing.

    The weights come from the file that the network's variable names, otherwise from the model hub's cache or the hub.
    """
    try:
        import timm
    except ImportError as error:
        raise ExtractorUnavailable(f"'{about.extractor}' needs timm ({error}): pip install timm") from error
    options: dict[str, Any] = {} if about.head else {"num_classes": 0}
    if about.size is not None:
        options["img_size"] = about.size
    named = os.environ.get(about.variable)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ExtractorUnavailable(f"{about.variable} names {named}, which is not a file: correct it, or unset it")
        options["pretrained_cfg_overlay"] = {"file": str(path)}
    try:
        network: nn.Module = timm.create_model(about.model, pretrained=True, **options)
    except Exception as error:  # a download, a damaged file or an unknown name can raise anything
        first_line = str(error).partition("\n")[0] or type(error).__name__
        remedy = f"replace the file that {about.variable} names" if named else f"set {about.variable} to a weights file"
        raise ExtractorUnavailable(f"the weights of {about.model} cannot be loaded ({first_line}): {remedy}") from error
    return VisionExtractor(network, about, timm.data.resolve_model_data_config(network), device)


def load_timm(device: torch.device) -> VisionExtractor:
    """Return the extractor for the model named by $GENBENCH_TIMM_MODEL."""
    model = os.environ.get(MODEL_VARIABLE)
    if not model:
        raise ExtractorUnavailable(
            f"{MODEL_VARIABLE} is not set: set it to the name of a timm model, such as resnet18.a1_in1k"
        )
    return load(device, Network("timm", model))


load_dinov2_small = functools.partial(load, about=NETWORKS["dinov2-small"])
load_dinov2_base = functools.partial(load, about=NETWORKS["dinov2-base"])
load_dinov2_large = functools.partial(load, about=NETWORKS["dinov2-large"])
load_clip_vit_b32 = functools.partial(load, about=NETWORKS["clip-vit-b32"])
load_clip_vit_l14 = functools.partial(load, about=NETWORKS["clip-vit-l14"])
load_clip_vit_l14_336 = functools.partial(load, about=NETWORKS["clip-vit-l14-336"])


def weights_hash(network: nn.Module) -> str:
    """Return the SHA-256 over name, type, shape and bytes of every tensor; the source of the weights has no effect."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name};{values.dtype}{tuple(values.shape)};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
