"""What a trained model draws, and what the metrics say of it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genbench.exchange import Estimate, Images, Unavailable
from genbench.execute.building import Built
from genbench.execute.loading import LoadedData
from genbench.execute.training import Diverged
from genbench.metrics.diversity import collapsed
from genbench.metrics.evaluation import CellEvaluation, measure
from genbench.plan.catalogue import Catalogue
from genbench.results.schema import CellIdentity
from genbench.results.store import atomic_write
from genbench.train.seeds import seeded_generator

SAMPLING_BATCH = 256
JUDGED_FROM = 10_000  # images of training
GRID = 8  # columns and rows of a grid of samples


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the model draws."""

    samples: Images  # uint8
    reconstructions: tuple[Tensor, Tensor] | None  # held-out images and their reconstructions, float in [0, 1]
    identical: bool  # every sample is the same to the last bit, before rounding to bytes


def draw(built: Built, identity: CellIdentity, data: LoadedData, device: torch.device) -> Drawn:
    """Generate as many images as the recipe asks for, and reconstruct the held-out images, in evaluation mode.

    Raises `Diverged` where a generated value is not finite.
    """
    family = built.family_for_sampling()
    low, high = built.model.value_range
    count = identity.recipe["samples"]
    assert isinstance(count, int)
    rng = seeded_generator(identity.seed, "samples", device)
    _evaluation_mode(built)
    labels = _draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    batches, first, identical = [], None, True
    with torch.inference_mode():
        for start in range(0, count, SAMPLING_BATCH):
            size = min(SAMPLING_BATCH, count - start)
            chosen = None if labels is None else labels[start : start + size]
            images = family.sample(size, rng, chosen).float()
            first = images[:1] if first is None else first
            identical = identical and bool((images == first).all())
            batches.append(_to_bytes(images, low, high).cpu())
        pairs = _reconstruct(built, data, device) if built.family_spec.reconstructs else None
    samples = Images(torch.cat(batches).clone(), None if labels is None else labels.cpu())
    return Drawn(samples, pairs, identical)


def evaluate(
    drawn: Drawn, built: Built, identity: CellIdentity, data: LoadedData, catalogue: Catalogue, device: torch.device
) -> tuple[list[Estimate], list[Unavailable]]:
    """Ask the metrics of the plan."""
    evaluation = CellEvaluation(
        samples=drawn.samples,
        train=data.train,
        test=data.test,
        reconstructions=drawn.reconstructions,
        device=device,
        seed=identity.seed,
        extractors={name: entry.spec for name, entry in catalogue.extractors.items()},
    )
    specs = [catalogue.metrics[name].spec for name in identity.metrics]
    return measure(specs, evaluation, built.family_spec.reconstructs)


def has_collapsed(drawn: Drawn, data: LoadedData, images_seen: int) -> bool:
    """Say whether the generator has collapsed: samples without any difference, or with next to none after training.

    A generator that was trained on fewer than `JUDGED_FROM` images draws grey shapes that differ little because it is
    young: of such a one only samples that are the same to the last bit count.
    """
    if images_seen < JUDGED_FROM:
        return drawn.identical and len(drawn.samples.pixels) > 1
    return collapsed(drawn.samples.pixels, data.train_pixels)


def save_pictures(drawn: Drawn, samples_path: Path, reconstructions_path: Path) -> None:
    """Write a grid of samples and, for models that reconstruct, originals above their reconstructions."""
    write_grid(samples_path, torch.as_tensor(drawn.samples.pixels)[: GRID * GRID], GRID)
    if drawn.reconstructions is not None:
        originals, again = (_to_bytes(images[: GRID * GRID // 2], 0.0, 1.0) for images in drawn.reconstructions)
        rows = [
            row for pair in zip(torch.split(originals, GRID), torch.split(again, GRID), strict=True) for row in pair
        ]
        write_grid(reconstructions_path, torch.cat(rows), GRID)


def write_grid(path: Path, pixels: Tensor, columns: int, margin: int = 2) -> None:
    """Write uint8 images (N, 1 or 3, height, width) as one PNG, row by row on a dark ground."""
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    across, down = min(columns, count) * (width + margin) + margin, rows * (height + margin) + margin
    sheet = torch.full((3, down, across), 32, dtype=torch.uint8)
    shown = pixels.cpu()[:, :3] if channels >= 3 else pixels.cpu()[:, :1].expand(-1, 3, -1, -1)
    for index, image in enumerate(shown):
        top = margin + (index // columns) * (height + margin)
        left = margin + (index % columns) * (width + margin)
        sheet[:, top : top + height, left : left + width] = image
    buffer = io.BytesIO()
    Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy()).save(buffer, format="PNG")
    atomic_write(path, buffer.getvalue())


def _reconstruct(built: Built, data: LoadedData, device: torch.device) -> tuple[Tensor, Tensor]:
    family = built.family_for_sampling()
    low, high = built.model.value_range
    originals, again = [], []
    for start in range(0, len(data.test_pixels), SAMPLING_BATCH):
        chunk = slice(start, start + SAMPLING_BATCH)
        unit = data.test_pixels[chunk].to(device).float() / 255
        labels = None
        if built.model.conditional and data.test_labels is not None:
            labels = data.test_labels[chunk].to(device)
        images = (unit * (high - low) + low).contiguous(memory_format=built.memory_format)
        found = family.reconstruct(images, labels).float()
        if found.shape != images.shape:
            raise ValueError(f"reconstruct returned {tuple(found.shape)} for images of {tuple(images.shape)}")
        originals.append(unit.cpu())
        again.append(((found - low) / (high - low)).clamp(0, 1).cpu())
    return torch.cat(originals).clone(), torch.cat(again).clone()


def _to_bytes(images: Tensor, low: float, high: float) -> Tensor:
    """Return what would be saved: clamped to the range and rounded to the nearest of 256 levels."""
    if not bool(images.isfinite().all()):
        raise Diverged("generated images hold values that are not finite")
    return ((images - low) / (high - low)).clamp(0, 1).mul(255).round().to(torch.uint8)


def _draw_labels(data: LoadedData, count: int, seed: int, device: torch.device) -> Tensor:
    """Return labels in the proportions of the training images."""
    assert data.train_labels is not None
    chosen = torch.randint(
        len(data.train_labels), (count,), generator=seeded_generator(seed, "labels", torch.device("cpu"))
    )
    return data.train_labels[chosen].to(device)


def _evaluation_mode(built: Built) -> None:
    networks: Sequence[torch.nn.Module] = list(built.setup.networks.values())
    if built.engine.average:
        networks = [*networks, *built.engine.average.networks.values()]
    for network in networks:
        network.eval()
