"""Networks of timm as extractors: their weights, what they are shown, and what of it the protocol states.

Where an image is resized it is resized as a whole, without the crop that classification asks for: what lies at the
border of a generated image counts too.
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

CHUNK = 32  # images that the network is shown at a time: large ones at 224 pixels fill the memory
MODEL_VARIABLE = "GENBENCH_TIMM_MODEL"
INTERPOLATIONS = ("bilinear", "bicubic")  # that torch can do on tensors, with antialias


@dataclass(frozen=True)
class Network:
    """A network by its name in timm."""

    extractor: str  # name
    model: str  # in timm
    size: int | None = None  # pixels that it is shown where that is not its own size
    head: bool = False  # the features are what its head returns: CLIP's embedding

    @property
    def variable(self) -> str:
        """The environment variable that names a file of its weights."""
        return f"GENBENCH_{self.extractor.upper().replace('-', '_')}_WEIGHTS"


NETWORKS = {
    network.extractor: network
    for network in (
        # 518 pixels, its own size, cost five times as much; the published comparisons of generators use 224
        Network("dinov2-small", "vit_small_patch14_dinov2.lvd142m", size=224),
        Network("dinov2-base", "vit_base_patch14_dinov2.lvd142m", size=224),
        # OpenAI trained with the approximation of GELU that these names stand for
        Network("clip-vit-b32", "vit_base_patch32_clip_quickgelu_224.openai", head=True),
        Network("clip-vit-l14", "vit_large_patch14_clip_quickgelu_224.openai", head=True),
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
        """Return what the network is shown, float (N, 3, size, size): resized, clamped, normalised."""
        images = pixels.to(self.device).float() / 255
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode=self.interpolation, align_corners=False, antialias=True)
        return (images.clamp(0, 1) - self.mean) / self.deviation


def load(device: torch.device, about: Network) -> VisionExtractor:
    """Return the extractor; raise `ExtractorUnavailable`, with the cure, where timm or the weights are missing.

    The weights come from the file that the network's variable names, else from the model hub's cache or the hub.
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
    except Exception as error:  # what a download, a damaged file or an unknown name raises can be anything
        first_line = str(error).partition("\n")[0] or type(error).__name__
        cure = f"correct what {about.variable} names" if named else f"let {about.variable} name a file of them"
        raise ExtractorUnavailable(f"the weights of {about.model} cannot be loaded ({first_line}): {cure}") from error
    return VisionExtractor(network, about, timm.data.resolve_model_data_config(network), device)


def load_timm(device: torch.device) -> VisionExtractor:
    """Return the extractor of the model that $GENBENCH_TIMM_MODEL names."""
    model = os.environ.get(MODEL_VARIABLE)
    if not model:
        raise ExtractorUnavailable(
            f"{MODEL_VARIABLE} is not set: let it name a model of timm, such as resnet18.a1_in1k"
        )
    return load(device, Network("timm", model))


load_dinov2_small = functools.partial(load, about=NETWORKS["dinov2-small"])
load_dinov2_base = functools.partial(load, about=NETWORKS["dinov2-base"])
load_clip_vit_b32 = functools.partial(load, about=NETWORKS["clip-vit-b32"])
load_clip_vit_l14 = functools.partial(load, about=NETWORKS["clip-vit-l14"])


def weights_hash(network: nn.Module) -> str:
    """Return the SHA-256 over name, type, shape and bytes of every tensor, so that all ways to get them agree."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name};{values.dtype}{tuple(values.shape)};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
