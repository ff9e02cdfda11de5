"""Extracting features, such that an image's features do not depend on its batch.

Every call of a network has the same number of images (the last batch is padded and the padding dropped), in inference
mode and full fp32: cuDNN selects algorithms by batch size, and TF32 if allowed, and either would change features by
more than rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.api.evaluation import Extractor, ExtractorData, show_nothing
from genbench.api.specs import ExtractorSpec, resolve
from genbench.measure.matmul_precision import tf32
from genbench.plugins.calls import PluginFunction, describe
from genbench.process.worker_channel import ShowCount


def load_extractor(spec: ExtractorSpec, device: torch.device, data: ExtractorData | None = None) -> Extractor:
    """Load an extractor; raise `SpecError` if it lacks what `genbench.Extractor` describes.

    Args:
        spec: of the extractor.
        device: for its network.
        data: what it is trained on, if `needs_data`.
    """
    title = "load(device, data)" if spec.needs_data else "load(device)"
    load = PluginFunction(f"extractor '{spec.name}'", title, resolve(spec.load))
    loaded = load(device, data) if spec.needs_data else load(device)
    fault = _fault(loaded, spec)
    if fault:
        raise load.error(f"returned {describe(loaded)}, {fault}", "Compare it with genbench.Extractor.")
    found: Extractor = loaded
    return found


def _fault(loaded: Any, spec: ExtractorSpec) -> str:
    """Return what a loaded extractor lacks, or an empty string."""
    if loaded is None or isinstance(loaded, type):
        return "not a loaded extractor"
    if not callable(loaded):
        return "which cannot be called with images"
    expected: dict[str, Any] = {"name": str, "protocol": Mapping, "whiten": object}
    for name, type_ in expected.items():
        if not isinstance(getattr(loaded, name, None), type_):
            state = f"is {describe(getattr(loaded, name))}" if hasattr(loaded, name) else "is missing"
            return f"whose {name} {state}"
    if spec.classifies and not callable(getattr(loaded, "logits", None)):
        return "which has no method logits, although the spec says classifies=True"
    return ""


def features_of(
    extractor: Extractor, batches: Iterable[Tensor], device: torch.device, batch_size: int
) -> Iterator[Tensor]:
    """Yield float32 features (n, d), on the CPU and in order, for batches of uint8 images (b, channels, height, width).

    Batches may have any size: images of the same shape are collected until there are `batch_size` of them. Images of
    another shape start a new batch, since a network receives images of one shape at a time.
    """
    waiting: list[Tensor] = []
    count = 0
    for batch in batches:
        if waiting and batch.shape[1:] != waiting[0].shape[1:]:
            yield _features(extractor, torch.cat(waiting), device, batch_size)
            waiting, count = [], 0
        waiting.append(batch)
        count += len(batch)
        if count >= batch_size:
            *full, rest = _split(torch.cat(waiting), batch_size)
            for images in full:
                yield _features(extractor, images, device, batch_size)
            waiting, count = [rest] if len(rest) else [], len(rest)
    if count:
        yield _features(extractor, torch.cat(waiting), device, batch_size)


def extract(
    extractor: Extractor, pixels: Tensor, device: torch.device, batch_size: int, show: ShowCount = show_nothing
) -> Tensor:
    """Return float32 features (N, d) on the CPU for uint8 pixels (N, channels, height, width), N ≥ 1.

    After each batch, `show` learns how many images are done.
    """
    if len(pixels) == 0:
        raise ValueError("there are no images to extract features from.")
    parts, done = [], 0
    for part in features_of(extractor, torch.split(pixels, batch_size), device, batch_size):
        parts.append(part)
        done += len(part)
        show(f"features of {extractor.name}", done, len(pixels))
    return torch.cat(parts)


@contextlib.contextmanager
def reproducible() -> Iterator[None]:
    """Make cuDNN deterministic and all products full fp32 in this context."""
    with tf32(False), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _split(images: Tensor, size: int) -> list[Tensor]:
    """Return parts of `size` images, and the remainder, which may be empty."""
    whole = len(images) // size * size
    return [*torch.split(images[:whole], size), images[whole:]]


def _features(extractor: Extractor, images: Tensor, device: torch.device, batch_size: int) -> Tensor:
    padded = F.pad(images, (0, 0, 0, 0, 0, 0, 0, batch_size - len(images)))
    called = PluginFunction(f"extractor '{extractor.name}'", "__call__(pixels)", extractor)
    with torch.inference_mode(), reproducible():
        features = called(padded.to(device))
    if not isinstance(features, Tensor):
        raise called.returned(features, "a tensor of features (N, d)")
    found = features[: len(images)].float().cpu()
    if found.ndim != 2 or len(found) != len(images):
        shape = (batch_size, *found.shape[1:])
        raise called.error(f"returned features of shape {shape} for {batch_size} images, not (N, d)")
    return found.clone()  # cloned outside inference mode, so that any metric may use it
