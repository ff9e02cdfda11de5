"""What a trained model draws, and how fast."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.exchange import Family, Images
from genbench.execute.building import Built
from genbench.execute.levels import to_levels
from genbench.execute.loading import LoadedData
from genbench.execute.sampling_mode import evaluation_mode
from genbench.execute.training import Diverged
from genbench.measure.clock import synchronise
from genbench.results.schema import CellIdentity
from genbench.train.seeds import seeded_generator

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

    The same images come of the same weights each time. Raises `Diverged` where a generated value is not finite.
    """
    family = built.family_for_sampling()
    low, high = built.model.value_range
    norm = str(built.recipe["sample_statistics"])
    rng = seeded_generator(identity.seed, "samples", device)
    labels = draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    batches, seconds, first, identical = [], [], None, True
    networks = list(built.sampled_networks.values())
    synchronise(device)
    with evaluation_mode(networks, norm), torch.inference_mode():
        for start in range(0, count, SAMPLING_BATCH):
            begin = time.perf_counter()
            size = min(SAMPLING_BATCH, count - start)
            chosen = None if labels is None else labels[start : start + size]
            if norm == "batch" and size < SAMPLING_BATCH:  # statistics of a full batch, also for the last images
                chosen = None if chosen is None else chosen.repeat(-(-SAMPLING_BATCH // size))[:SAMPLING_BATCH]
                images = family.sample(SAMPLING_BATCH, rng, chosen)[:size].float()
            else:
                images = family.sample(size, rng, chosen).float()
            first = images[:1] if first is None else first
            identical = identical and bool((images == first).all())
            batches.append(_to_bytes(images, low, high).cpu())
            seconds.append(time.perf_counter() - begin)
    pairs = None
    if reconstruct and built.family_spec.reconstructs:
        # By the running averages in any case: what is made of an image must not depend on the others of its batch.
        with evaluation_mode(networks), torch.inference_mode():
            pairs = _reconstruct(built, family, data, device)
    samples = Images(torch.cat(batches).clone(), None if labels is None else labels.cpu())
    return Drawn(samples, pairs, identical, samples_per_second([len(batch) for batch in batches], seconds))


def sample(built: Built, identity: CellIdentity, data: LoadedData, device: torch.device, count: int) -> Tensor:
    """Generate `count` images in evaluation mode, in the model's own range, and nothing else."""
    labels = draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    with evaluation_mode(built.sampled_networks.values(), str(built.recipe["sample_statistics"])):
        return built.family_for_sampling().sample(count, seeded_generator(identity.seed, "counting", device), labels)


def samples_per_second(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the median rate over whole batches, without the first where there are others.

    The first warms up, and kernels may be chosen anew for a last batch of another size.
    """
    whole = [(size, spent) for size, spent in zip(sizes, seconds, strict=True) if size == sizes[0]]
    return statistics.median(size / spent for size, spent in whole[1:] or whole)


def _reconstruct(built: Built, family: Family, data: LoadedData, device: torch.device) -> tuple[Tensor, Tensor]:
    low, high = built.model.value_range
    originals, again = [], []
    for start in range(0, len(data.test_pixels), SAMPLING_BATCH):
        unit, images, labels = images_of(built, data, slice(start, start + SAMPLING_BATCH), device)
        found = family.reconstruct(images, labels).float()
        if found.shape != images.shape:
            raise ValueError(f"reconstruct returned {tuple(found.shape)} for images of {tuple(images.shape)}")
        originals.append(unit.cpu())
        again.append(((found - low) / (high - low)).clamp(0, 1).cpu())
    return torch.cat(originals).clone(), torch.cat(again).clone()


def images_of(
    built: Built, data: LoadedData, rows: slice | Tensor, device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return held-out images on [0, 1] and in the model's value range, with their labels for a conditional model."""
    low, high = built.model.value_range
    unit = data.test_pixels[rows].to(device).float() / 255
    labels = None
    if built.model.conditional and data.test_labels is not None:
        labels = data.test_labels[rows].to(device)
    return unit, (unit * (high - low) + low).contiguous(memory_format=built.memory_format), labels


def _to_bytes(images: Tensor, low: float, high: float) -> Tensor:
    """Return what would be saved: clamped to the range and rounded to the nearest of 256 levels."""
    if not bool(images.isfinite().all()):
        raise Diverged("generated images hold values that are not finite")
    return to_levels(images, low, high)


def draw_labels(data: LoadedData, count: int, seed: int, device: torch.device) -> Tensor:
    """Return labels in the proportions of the training images."""
    assert data.train_labels is not None
    chosen = torch.randint(
        len(data.train_labels), (count,), generator=seeded_generator(seed, "labels", torch.device("cpu"))
    )
    return data.train_labels[chosen].to(device)
