"""Drawing samples and reconstructions from a trained model, and measuring the speed."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from genbench.api.evaluation import show_nothing
from genbench.api.images import Images
from genbench.api.recipe import Recipe
from genbench.api.specs import FamilySpec, ModelSpec
from genbench.api.training import Family, LatentFamily, Sampler, SamplerFamily
from genbench.data.loading import LoadedData
from genbench.data.source import Normalise
from genbench.errors import UsageError
from genbench.measure.clock import synchronise
from genbench.planning.samplers import Truncation
from genbench.process.worker_channel import ShowCount
from genbench.results.schema import CellIdentity
from genbench.sampling.evaluations import count_evaluations
from genbench.sampling.inference import evaluation_mode, inference_context, to_levels
from genbench.sampling.latent_space import Prior, truncate
from genbench.seeds import seeded_generator
from genbench.train.divergence import Diverged
from genbench.train.exchanges import require_reconstructions
from genbench.train.network_checks import require_range

SAMPLING_BATCH = 256
GENERATES, RECONSTRUCTS = "once trained generates", "once trained reconstructs images with"


class SampledModel(Protocol):
    """Networks that images are drawn from: as built for training, or with weights from a checkpoint."""

    @property
    def model(self) -> ModelSpec:
        """Its spec."""

    @property
    def family_spec(self) -> FamilySpec:
        """The spec of its family."""

    @property
    def recipe(self) -> Recipe:
        """The recipe of its training."""

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of its images."""

    @property
    def sampled_networks(self) -> dict[str, nn.Module]:
        """All networks, with the weights that are sampled."""

    def family_for_sampling(self) -> Family:
        """Return the family with the weights that are sampled."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Samples and reconstructions of a model."""

    samples: Images  # uint8
    reconstructions: tuple[Tensor, Tensor] | None  # held-out images and their reconstructions, float in [0, 1]
    identical: bool  # all samples are bitwise equal, before rounding to uint8
    per_second: float = 0.0  # samples, including rounding to uint8 and the copy to the CPU
    evaluations: float = 0.0  # forward passes of networks for each sample (NFE)


def draw(
    built: SampledModel,
    identity: CellIdentity,
    data: LoadedData,
    device: torch.device,
    count: int,
    reconstruct: bool = True,
    sampler: Sampler | None = None,
    show: ShowCount = show_nothing,
) -> Drawn:
    """Generate `count` images and reconstruct the held-out ones, in evaluation mode, which is then restored.

    With a `sampler`, the images are drawn by it instead of the family's own way. Between the batches, which are timed,
    `show` learns how many there are.

    The same weights always give the same images. The host synchronises with the device once per batch. Raises
    `Diverged` where a generated value is not finite, and `SpecError` where it lies outside the declared range.
    """
    family = built.family_for_sampling()
    low, high = built.model.value_range
    norm, precision = built.recipe.sample_statistics, built.recipe.precision
    rng = seeded_generator(identity.seed, "samples", device)
    labels = draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    batch = SAMPLING_BATCH if norm == "batch" else min(SAMPLING_BATCH, count)
    samples = torch.empty(count, *identity.image_shape, dtype=torch.uint8)
    seconds, first, identical = [], None, True
    networks = list(built.sampled_networks.values())
    synchronise(device)
    with inference_context(networks, device, precision, norm), count_evaluations(networks) as evaluated:
        drawn = 0
        for start in range(0, count, batch):
            begin = time.perf_counter()
            left = min(batch, count - start)
            size = batch if norm == "batch" or _prefers_fixed_size(device) else left
            chosen = None if labels is None else _repeat_to(size, labels[start : start + left])
            images = sample_by(family, sampler, size, rng, chosen, built.model.prior)
            drawn += size
            if not isinstance(images, Tensor) or images.shape != (size, *identity.image_shape):
                what = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
                raise ValueError(f"{size} images were requested, and {what} came")
            images = images[:left].float()
            first = images[:1] if first is None else first
            least, greatest = images.aminmax()
            same = (images == first).all() if identical else None
            samples[start : start + left] = to_levels(images, low, high)  # synchronises with the device
            if not bool(least.isfinite() & greatest.isfinite()):
                raise Diverged("generated images contain values that are not finite")
            require_range(built.model, float(least), float(greatest), GENERATES, precision)
            identical = same is not None and bool(same)
            seconds.append((left, time.perf_counter() - begin))
            show("generating samples", start + left, count)
    pairs = None
    if reconstruct and built.family_spec.reconstructs:
        # Always with the running averages: a reconstruction must not depend on the other images of the batch.
        with inference_context(networks, device):
            pairs = _reconstruct(built, family, data, device)
    images_drawn = Images(samples, None if labels is None else labels.cpu())
    return Drawn(images_drawn, pairs, identical, samples_per_second(seconds), evaluated.per_image(drawn))


def sample_by(
    family: Family,
    sampler: Sampler | None,
    count: int,
    rng: torch.Generator,
    labels: Tensor | None,
    prior: Prior = "normal",
) -> Tensor:
    """Draw images by this sampler; None: the family's own way. Raises `UsageError` without latents to truncate."""
    if sampler is None:
        return family.sample(count, rng, labels)
    if isinstance(sampler.options, Truncation):
        if not isinstance(family, LatentFamily):
            raise UsageError(
                "the model does not generate images from continuous latents, so none can be truncated.", code="GB606"
            )
        return family.generate(truncate(family.latents(count, rng), prior, sampler.options.psi), labels)
    return cast("SamplerFamily", family).sample_with(sampler, count, rng, labels)


def sample(built: SampledModel, identity: CellIdentity, data: LoadedData, device: torch.device, count: int) -> Tensor:
    """Generate `count` images in evaluation mode, in the model's value range."""
    labels = draw_labels(data, count, identity.seed, device) if built.model.conditional else None
    with evaluation_mode(built.sampled_networks.values(), built.recipe.sample_statistics):
        return built.family_for_sampling().sample(count, seeded_generator(identity.seed, "counting", device), labels)


def samples_per_second(batches: Sequence[tuple[int, float]]) -> float:
    """Return the median rate over full batches (size, seconds), excluding the first, a warm-up, if there are others.

    The last batch may be smaller or only partly used, and is then excluded.
    """
    whole = [size / spent for size, spent in batches if size == batches[0][0]]
    return statistics.median(whole[1:] or whole)


def _prefers_fixed_size(device: torch.device) -> bool:
    """Whether a batch of another size would cause new kernel tuning, as in cuDNN; a CPU has no such cost."""
    return device.type != "cpu"


def _repeat_to(size: int, labels: Tensor) -> Tensor:
    """Return `size` labels: these, repeated as needed."""
    return labels if len(labels) == size else labels.repeat(-(-size // len(labels)))[:size]


def _reconstruct(built: SampledModel, family: Family, data: LoadedData, device: torch.device) -> tuple[Tensor, Tensor]:
    low, high = built.model.value_range
    count = len(data.test_pixels)
    batch = min(SAMPLING_BATCH, count)
    again = torch.empty(data.test_pixels.shape)
    for start in range(0, count, batch):
        rows: slice | Tensor = slice(start, start + batch)
        if start + batch > count and _prefers_fixed_size(device):
            rows = torch.arange(start, start + batch).clamp_(max=count - 1)
        images, labels = held_out_batch(built, data, rows, device)
        found = require_reconstructions(built.family_spec, family, images, labels)[: count - start].float()
        least, greatest = (float(end) for end in found.aminmax())
        require_range(built.model, least, greatest, RECONSTRUCTS)
        again[start : start + batch] = ((found - low) / (high - low)).clamp_(0, 1)
    return data.test_pixels.float().div_(255), again


def held_out_batch(
    built: SampledModel, data: LoadedData, rows: slice | Tensor, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Return held-out images in the model's value range, with their labels for a conditional model."""
    labels = None
    if built.model.conditional and data.test_labels is not None:
        labels = data.test_labels[rows].to(device)
    normalise = Normalise(built.model.value_range, built.memory_format)  # like the training images
    return normalise(data.test_pixels[rows].to(device)), labels


def draw_labels(data: LoadedData, count: int, seed: int, device: torch.device) -> Tensor:
    """Draw labels with the class frequencies of the training images."""
    assert data.train_labels is not None
    chosen = torch.randint(
        len(data.train_labels), (count,), generator=seeded_generator(seed, "labels", torch.device("cpu"))
    )
    return data.train_labels[chosen].to(device)
