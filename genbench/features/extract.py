"""From images to features, so that an image has the same features in whatever batch it comes.

Every call of a network has the same number of images, the last one padded and its padding dropped, in inference mode
and full fp32: cuDNN chooses another algorithm for another batch, and TF32 where it may, and either would move the
features of an image by more than rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.api.evaluation import Extractor
from genbench.measure.matmul_precision import tf32


def features_of(
    extractor: Extractor, batches: Iterable[Tensor], device: torch.device, batch_size: int
) -> Iterator[Tensor]:
    """Yield float32 features (n, d), on the CPU and in order, of batches of uint8 images (b, channels, height, width).

    Batches may have any size: images of the same shape are gathered until there are `batch_size` of them. Those of
    another shape begin a new batch, since a network sees images of one shape at a time.
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


def extract(extractor: Extractor, pixels: Tensor, device: torch.device, batch_size: int) -> Tensor:
    """Return float32 features (N, d) on the CPU of uint8 pixels (N, channels, height, width), N ≥ 1."""
    if len(pixels) == 0:
        raise ValueError("there are no images to take features of.")
    return torch.cat(list(features_of(extractor, torch.split(pixels, batch_size), device, batch_size)))


@contextlib.contextmanager
def reproducible() -> Iterator[None]:
    """Give a context in which cuDNN always takes the same algorithm, and all products are in full fp32."""
    with tf32(False), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def _split(images: Tensor, size: int) -> list[Tensor]:
    """Return parts of `size` images, and what is left over, which may be nothing."""
    whole = len(images) // size * size
    return [*torch.split(images[:whole], size), images[whole:]]


def _features(extractor: Extractor, images: Tensor, device: torch.device, batch_size: int) -> Tensor:
    padded = F.pad(images, (0, 0, 0, 0, 0, 0, 0, batch_size - len(images)))
    with torch.inference_mode(), reproducible():
        found = extractor(padded.to(device))[: len(images)].float().cpu()
    if found.ndim != 2 or len(found) != len(images):
        raise ValueError(f"'{extractor.name}' returned {tuple(found.shape)} for {batch_size} images, not (N, d).")
    return found.clone()  # outside of inference mode, so that any metric may use it
