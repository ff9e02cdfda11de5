"""What a trained model draws, and how fast."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.api.images import Images
from genbench.api.training import Family
from genbench.data.loading import LoadedData
from genbench.data.source import Normalise
from genbench.measure.clock import synchronise
from genbench.results.schema import CellIdentity
from genbench.sampling.inference import asking, evaluation_mode, to_levels
from genbench.seeds import seeded_generator
from genbench.train.builder import Built
from genbench.train.divergence import Diverged

SAMPLING_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the model draws."""

    samples: Images  # uint8
    reconstructions: tuple[Tensor, Tensor] | None  # held-out images and their reconstructions, float in [0, 1]
    identical: bool  # every sample is the same to the last bit, before rounding to bytes
    per_second: float = 0.0  # samples, rounded to bytes and brought to the CPU


def draw(
    built: Built,
    identity: CellIdentity,
    data: LoadedData,
    device: torch.device,
    count: int,
    reconstruct: bool = True,
) -> Drawn:
    """Generate `count` images and reconstruct the held-out ones, in evaluation mode; every module gets its mode back.

    The same images come of the same weights each time. The device is waited for once in a batch. Raises `Diverged`
    where a generated value is not finite.
    """
    family = built.family_for_sampling()
    low, high = built.model.value_range
    norm, precision = str(built.recipe["sample_statistics"]), str(built.recipe["precision"])
    rng = seeded_generator(identity.seed, "samples", device)
    labels = draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    batch = SAMPLING_BATCH if norm == "batch" else min(SAMPLING_BATCH, count)
    samples = torch.empty(count, *identity.image_shape, dtype=torch.uint8)
    seconds, first, identical = [], None, True
    networks = list(built.sampled_networks.values())
    synchronise(device)
    with asking(networks, device, precision, norm):
        for start in range(0, count, batch):
            begin = time.perf_counter()
            left = min(batch, count - start)
            size = batch if norm == "batch" or _wants_one_size(device) else left
            chosen = None if labels is None else _filled(labels[start : start + left], size)
            images = family.sample(size, rng, chosen)[:left].float()
            first = images[:1] if first is None else first
            finite, same = images.isfinite().all(), (images == first).all() if identical else None
            samples[start : start + left] = to_levels(images, low, high)  # waits for the device
            if not bool(finite):
                raise Diverged("generated images hold values that are not finite")
            identical = same is not None and bool(same)
            seconds.append((left, time.perf_counter() - begin))
    pairs = None
    if reconstruct and built.family_spec.reconstructs:
        # By the running averages in any case: what is made of an image must not depend on the others of its batch.
        with asking(networks, device):
            pairs = _reconstruct(built, family, data, device)
    images_drawn = Images(samples, None if labels is None else labels.cpu())
    return Drawn(images_drawn, pairs, identical, samples_per_second(seconds))


def sample(built: Built, identity: CellIdentity, data: LoadedData, device: torch.device, count: int) -> Tensor:
    """Generate `count` images in evaluation mode, in the model's own range, and nothing else."""
    labels = draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    with evaluation_mode(built.sampled_networks.values(), str(built.recipe["sample_statistics"])):
        return built.family_for_sampling().sample(count, seeded_generator(identity.seed, "counting", device), labels)


def samples_per_second(batches: Sequence[tuple[int, float]]) -> float:
    """Return the median rate over whole batches (size, seconds), without the first, which warms up, if there are more.

    The last batch may be smaller, or dropped in part, and so is left out where there are others.
    """
    whole = [size / spent for size, spent in batches if size == batches[0][0]]
    return statistics.median(whole[1:] or whole)


def _wants_one_size(device: torch.device) -> bool:
    """Say whether a batch of another size would be tuned anew, as by cuDNN; a CPU takes any size at its price."""
    return device.type != "cpu"


def _filled(labels: Tensor, size: int) -> Tensor:
    """Return `size` labels that begin with these."""
    return labels if len(labels) == size else labels.repeat(-(-size // len(labels)))[:size]


def _reconstruct(built: Built, family: Family, data: LoadedData, device: torch.device) -> tuple[Tensor, Tensor]:
    low, high = built.model.value_range
    count = len(data.test_pixels)
    batch = min(SAMPLING_BATCH, count)
    again = torch.empty(data.test_pixels.shape)
    for start in range(0, count, batch):
        rows: slice | Tensor = slice(start, start + batch)
        if start + batch > count and _wants_one_size(device):
            rows = torch.arange(start, start + batch).clamp_(max=count - 1)
        images, labels = images_of(built, data, rows, device)
        found = family.reconstruct(images, labels)
        if found.shape != images.shape:
            raise ValueError(f"reconstruct returned {tuple(found.shape)} for images of {tuple(images.shape)}")
        again[start : start + batch] = ((found[: count - start].float() - low) / (high - low)).clamp_(0, 1)
    return data.test_pixels.float().div_(255), again


def images_of(
    built: Built, data: LoadedData, rows: slice | Tensor, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Return held-out images in the model's value range, with their labels for a conditional model."""
    labels = None
    if built.model.conditional and data.test_labels is not None:
        labels = data.test_labels[rows].to(device)
    normalise = Normalise(built.model.value_range, built.memory_format)  # as the training images are
    return normalise(data.test_pixels[rows].to(device)), labels


def draw_labels(data: LoadedData, count: int, seed: int, device: torch.device) -> Tensor:
    """Return labels in the proportions of the training images."""
    assert data.train_labels is not None
    chosen = torch.randint(
        len(data.train_labels), (count,), generator=seeded_generator(seed, "labels", torch.device("cpu"))
    )
    return data.train_labels[chosen].to(device)
