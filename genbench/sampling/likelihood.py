"""Bounds on the likelihood of held-out images under a trained model, computed a few images at a time."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from genbench.api.training import Likelihood, LikelihoodBound, LikelihoodFamily
from genbench.data.loading import LoadedData
from genbench.metrics.evaluation import Bounds
from genbench.sampling.inference import inference_context
from genbench.sampling.sampler import SAMPLING_BATCH, SampledModel, held_out_batch
from genbench.seeds import seeded_generator


def likelihood_bounds(
    built: SampledModel, data: LoadedData, seed: int, device: torch.device
) -> tuple[Likelihood, Bounds] | None:
    """Return the model's likelihood, and the function that bounds it; None where the model has none.

    The function uses the weights at the time of its call.
    """
    family = built.family_for_sampling() if built.family_spec.bounds else None
    if not isinstance(family, LikelihoodFamily) or family.likelihood is None:
        return None
    return family.likelihood, functools.partial(bound_held_out, built, data, seed, device)


def bound_held_out(
    built: SampledModel, data: LoadedData, seed: int, device: torch.device, draws: int, count: int | None
) -> LikelihoodBound:
    """Return the bound on all held-out images, or on `count` of them, in evaluation mode; float64, on the CPU.

    At most `SAMPLING_BATCH` latents are decoded at a time, however many there are per image. The same weights always
    give the same bound. Raises ValueError where the family returns other shapes.
    """
    family = built.family_for_sampling()
    assert isinstance(family, LikelihoodFamily)
    rng = seeded_generator(seed, "likelihood", device)
    chosen = choose_images(len(data.test_pixels), count)
    groups = [min(SAMPLING_BATCH, draws - done) for done in range(0, draws, SAMPLING_BATCH)]
    found = []
    with inference_context(built.sampled_networks.values(), device):
        for rows in torch.split(chosen, max(1, SAMPLING_BATCH // draws)):
            images, labels = held_out_batch(built, data, rows, device)
            parts = [_checked(family.bound(images, group, rng, labels), group, len(rows)) for group in groups]
            found.append(_join_draws(parts, groups))
    return LikelihoodBound(
        log_weights=torch.cat([part.log_weights for part in found], 1).clone(),
        distortion=torch.cat([part.distortion for part in found]).clone(),
        rate=torch.cat([part.rate for part in found]).clone(),
        mean=torch.cat([part.mean for part in found]).clone(),
    )


def choose_images(available: int, count: int | None) -> torch.Tensor:
    """Return the indices of the held-out images to use, ascending: all, or a fixed random choice.

    The first `count` would be biased: the images of a folder are sorted by class.
    """
    if count is None or count >= available:
        return torch.arange(available)
    return torch.randperm(available, generator=torch.Generator().manual_seed(0))[:count].sort().values


def _join_draws(parts: Sequence[LikelihoodBound], draws: Sequence[int]) -> LikelihoodBound:
    """Combine the bounds from several groups of draws for the same images."""
    shares = torch.tensor(draws, dtype=torch.float64) / sum(draws)
    distortion = sum((share * part.distortion for share, part in zip(shares, parts, strict=True)), torch.zeros(()))
    return LikelihoodBound(torch.cat([part.log_weights for part in parts]), distortion, parts[0].rate, parts[0].mean)


def _checked(bound: LikelihoodBound, draws: int, images: int) -> LikelihoodBound:
    """Return the bound in float64 on the CPU; raise ValueError where its shapes are wrong."""
    shapes = [tuple(part.shape) for part in (bound.log_weights, bound.distortion, bound.rate, bound.mean[:, 0])]
    if shapes != [(draws, images), (images,), (images,), (images,)]:
        raise ValueError(f"bound returned parts of shapes {shapes} for {draws} latents for each of {images} images.")
    log_weights, distortion, rate, mean = (
        part.cpu().double() for part in (bound.log_weights, bound.distortion, bound.rate, bound.mean)
    )
    return LikelihoodBound(log_weights, distortion, rate, mean)
