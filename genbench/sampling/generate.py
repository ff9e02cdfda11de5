"""Images from a trained model: samples of a seed, interpolations between two seeds, and reconstructions.

A seed always gives the same images on the same kind of device, whatever their number: latents are drawn in the same
blocks as by the run itself, so that the training seed reproduces the run's own sample grid (with other labels for a
conditional model).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.api.training import LatentFamily, Sampler
from genbench.errors import DataError, SpecError, UsageError, near_miss
from genbench.planning.samplers import check_samplers, choose_sampler, samplers_of
from genbench.sampling.checkpoint_model import TrainedModel
from genbench.sampling.inference import inference_context, to_levels
from genbench.sampling.latent_space import interpolate_latents, truncate
from genbench.sampling.sampler import GENERATES, SAMPLING_BATCH, sample_by
from genbench.seeds import seeded_generator
from genbench.train.network_checks import require_range


def generate(
    trained: TrainedModel,
    count: int,
    seed: int,
    label: int | None = None,
    psi: float | None = None,
    sampler: Sampler | None = None,
) -> Tensor:
    """Return `count` images, uint8 (count, channels, height, width) on the CPU.

    Args:
        trained: the model.
        count: at least 1.
        seed: of the latents.
        label: of all images; None: those of `make_labels`.
        psi: where to truncate the prior; see `genbench.sampling.latent_space.truncate`.
        sampler: draws the images instead of the family's own way; it takes no `psi`.
    """
    return torch.cat(list(generate_in_blocks(trained, count, seed, label, psi, sampler)))


def generate_in_blocks(
    trained: TrainedModel,
    count: int,
    seed: int,
    label: int | None = None,
    psi: float | None = None,
    sampler: Sampler | None = None,
) -> Iterator[Tensor]:
    """Yield the images of `generate` in blocks; only one is in memory at a time."""
    family, rng = trained.family, seeded_generator(seed, "samples", trained.device)
    block = _block(trained)
    whole = trained.recipe.sample_statistics == "batch"  # batch norm then needs the whole block
    labels = make_labels(trained, label, count + block)
    if psi is not None:
        require_latents(trained, "--truncate")
    for start in range(0, count, block):
        size = min(block, count - start)
        chosen = None if labels is None else labels[start : start + block].to(trained.device)
        with inference_context(
            trained.networks.values(), trained.device, trained.recipe.precision, trained.recipe.sample_statistics
        ):
            if isinstance(family, LatentFamily) and sampler is None:
                latents = _latents(trained, family, block, rng, psi)
                used = block if whole else size
                images = family.generate(latents[:used], None if chosen is None else chosen[:used])
            else:
                images = sample_by(family, sampler, block, rng, chosen, trained.model.prior)
            found = _to_bytes(trained, images[:size], size)
        yield found.clone()  # outside inference mode, so that any code may use it


def interpolate(
    trained: TrainedModel, first: int, last: int, steps: int, label: int | None = None, psi: float | None = None
) -> Tensor:
    """Return uint8 images (steps, …), interpolated from the first image of one seed to the first of another."""
    family = require_latents(trained, "--interpolate")
    with inference_context(
        trained.networks.values(), trained.device, trained.recipe.precision, trained.recipe.sample_statistics
    ):
        ends = [
            _latents(trained, family, _block(trained), seeded_generator(seed, "samples", trained.device), psi)
            for seed in (first, last)
        ]
        if (
            trained.recipe.sample_statistics == "batch"
        ):  # interpolate the whole block, so that both ends are normalised as in sampling
            prior = trained.model.prior
            paths = [interpolate_latents(one, other, steps, prior) for one, other in zip(*ends, strict=True)]
            path = torch.stack(paths, dim=1)  # steps × block × latent
            batches = [_generate(trained, family, block, label)[:1] for block in path]
        else:
            path = interpolate_latents(ends[0][0], ends[1][0], steps, trained.model.prior)
            batches = [_generate(trained, family, some, label) for some in torch.split(path, SAMPLING_BATCH)]
    return torch.cat(batches).clone()


def reconstruct(trained: TrainedModel, pixels: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return the reconstructions of uint8 images (N, channels, height, width), each independent of the others."""
    require_reconstruction(trained)
    low, high = trained.model.value_range
    batches = []
    with inference_context(trained.networks.values(), trained.device):  # always with the running averages
        for start in range(0, len(pixels), SAMPLING_BATCH):
            images = pixels[start : start + SAMPLING_BATCH].to(trained.device).float() / 255 * (high - low) + low
            chosen = None if labels is None else labels[start : start + SAMPLING_BATCH].to(trained.device)
            batches.append(_to_bytes(trained, trained.family.reconstruct(images, chosen), len(images)))
    return torch.cat(batches).clone()


def require_sampler(trained: TrainedModel, text: str) -> Sampler:
    """Return the sampler that is written as with `--samplers`; raise `UsageError` if the family has no such one."""
    check_samplers([text], [trained.family_spec])
    chosen = choose_sampler(text, trained.family_spec)
    assert chosen is not None
    return Sampler(chosen.name, samplers_of(trained.family_spec)[chosen.name].make_options(chosen.options))


def require_latents(trained: TrainedModel, flag: str) -> LatentFamily:
    """Return the family, which generates images from latents; raise `UsageError` where it does not."""
    if not isinstance(trained.family, LatentFamily):
        raise UsageError(
            f"{flag} is not possible: models of the family '{trained.family_spec.name}' do not generate images from "
            "continuous latents.",
            "Remove it, or choose a cell of another family.",
            code="GB606",
        )
    return trained.family


def require_reconstruction(trained: TrainedModel) -> None:
    """Raise `UsageError` where the model cannot reconstruct images."""
    if not trained.family_spec.reconstructs:
        raise UsageError(
            f"--reconstruct is not possible: models of the family '{trained.family_spec.name}' do not reconstruct.",
            "Choose a cell whose model does, such as a variational one.",
            code="GB606",
        )


def parse_class(trained: TrainedModel, text: str) -> int:
    """Return the label for a class name or number; raise `UsageError`, with the nearest name, for any other text."""
    names = trained.class_names
    if not trained.classes:
        raise UsageError(
            f"Model '{trained.model.name}' is not conditional: it has no classes.", "Remove --class.", code="GB606"
        )
    exact = [label for label, name in enumerate(names) if name == text]
    alike = [label for label, name in enumerate(names) if name.casefold() == text.casefold()]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    if text.isascii() and text.isdigit() and int(text) < trained.classes:
        return int(text)
    listing = f": {', '.join(names)}" if names else ""
    raise UsageError(
        f"There is no class '{text}'.{near_miss(text, names)}",
        f"Classes are 0 to {trained.classes - 1}{listing}.",
        code="GB101",
    )


def make_labels(trained: TrainedModel, label: int | None, count: int) -> Tensor | None:
    """Return int64 labels (count,): this one, or all classes in turn; None for an unconditional model."""
    if not trained.classes:
        return None
    return torch.arange(count) % trained.classes if label is None else torch.full((count,), label)


def _block(trained: TrainedModel) -> int:
    """Return how many latents are drawn at once: as many as in the run, for the same images."""
    if trained.recipe.sample_statistics == "batch":
        return SAMPLING_BATCH
    return min(SAMPLING_BATCH, trained.recipe.samples)


def _latents(
    trained: TrainedModel, family: LatentFamily, count: int, rng: torch.Generator, psi: float | None
) -> Tensor:
    latents = family.latents(count, rng)
    if not isinstance(latents, Tensor) or latents.ndim < 1 or len(latents) != count:
        raise SpecError(f"The family '{trained.family_spec.name}' did not return the {count} latents requested.")
    if psi is None:
        return latents
    if not latents.is_floating_point():
        raise UsageError("--truncate is not possible: the latents of this model are not continuous.", code="GB606")
    try:
        return truncate(latents, trained.model.prior, psi)
    except ValueError as error:
        raise UsageError(f"--truncate {psi:g}: {error}.", "Typical values are 0.5 to 1.", code="GB606") from None


def _generate(trained: TrainedModel, family: LatentFamily, latents: Tensor, label: int | None) -> Tensor:
    labels = None if label is None else torch.full((len(latents),), label, device=trained.device)
    return _to_bytes(trained, family.generate(latents, labels), len(latents))


def _to_bytes(trained: TrainedModel, images: Tensor, count: int) -> Tensor:
    expected = (count, *trained.identity.image_shape)
    if not isinstance(images, Tensor) or tuple(images.shape) != expected:
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise SpecError(f"Model '{trained.model.name}' returned {shape} instead of images {expected}.")
    low, high = trained.model.value_range
    if not bool(images.isfinite().all()):
        raise DataError(
            "The model generates values that are not finite.",
            "Its training diverged: choose another cell.",
            code="GB604",
        )
    least, greatest = (float(end) for end in images.float().aminmax())
    require_range(trained.model, least, greatest, GENERATES, trained.recipe.precision)
    return to_levels(images.float(), low, high).cpu()
