"""The likelihood of held-out images under a trained model, exact or bounded, computed a few images at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import cast

import torch

from genbench.api.training import (
    ExactLikelihoodFamily,
    Likelihood,
    LikelihoodBound,
    LikelihoodFamily,
    LogLikelihood,
)
from genbench.data.loading import LoadedData
from genbench.metrics.evaluation import Bounds, Likelihoods
from genbench.sampling.inference import inference_context
from genbench.sampling.sampler import SAMPLING_BATCH, SampledModel, held_out_batch
from genbench.seeds import seeded_generator
from genbench.train.network_checks import missing_methods

LEAST_JUDGED = 30  # images from which the parts of a bound are compared


def likelihood_bounds(
    built: SampledModel, data: LoadedData, seed: int, device: torch.device
) -> tuple[Likelihood, Bounds] | None:
    """Return the model's likelihood, and the function that bounds it; None where the model has none.

    The function uses the weights at the time of its call.
    """
    family = likelihood_family(built)
    if family is None or family.likelihood is None or built.family_spec.exact:
        return None
    return family.likelihood, functools.partial(bound_held_out, built, data, seed, device)


def exact_likelihoods(built: SampledModel, data: LoadedData, seed: int, device: torch.device) -> Likelihoods | None:
    """Return the function that computes the likelihood of held-out images; None where the model computes none.

    The function uses the weights at the time of its call.
    """
    family = likelihood_family(built)
    if family is None or family.likelihood is None or built.family_spec.bounds:
        return None
    return functools.partial(log_likelihood_of_held_out, built, data, seed, device)


def likelihood_family(built: SampledModel) -> LikelihoodFamily | ExactLikelihoodFamily | None:
    """Return the family with the weights that are sampled; None if it has no likelihood.

    The protocols are not tested with isinstance, which would require `reconstruct` of families that do not.
    """
    spec, family = built.family_spec, built.family_for_sampling()
    if not (spec.bounds or spec.exact) or missing_methods(family, spec):
        return None
    return cast("LikelihoodFamily | ExactLikelihoodFamily", family)


def log_likelihood_of_held_out(
    built: SampledModel, data: LoadedData, seed: int, device: torch.device, draws: int, count: int | None
) -> LogLikelihood:
    """Return the log-likelihood of the same images as `bound_held_out`, in evaluation mode; float64, on the CPU.

    Noise is drawn `draws` times if the images are dequantised; otherwise each image has one value, repeated. Raises
    ValueError where the family returns another shape.
    """
    family = cast("ExactLikelihoodFamily", built.family_for_sampling())
    likelihood = family.likelihood
    assert likelihood is not None
    noisy, rng = likelihood.kind == "dequantised", seeded_generator(seed, "likelihood", device)
    found = []
    with inference_context(built.sampled_networks.values(), device):
        for rows in torch.split(choose_images(len(data.test_pixels), count), SAMPLING_BATCH):
            images, labels = held_out_batch(built, data, rows, device)
            drawn = [checked_log_likelihood(family, images, rng, labels) for _ in range(draws if noisy else 1)]
            found.append(torch.stack(drawn).expand(draws, len(rows)))
    return LogLikelihood(torch.cat(found, 1).clone(), likelihood, exact=not noisy)


def checked_log_likelihood(
    family: ExactLikelihoodFamily, images: torch.Tensor, rng: torch.Generator, labels: torch.Tensor | None
) -> torch.Tensor:
    """Return the log-likelihood in float64 on the CPU; raise ValueError where it is not one float per image."""
    found: object = family.log_likelihood(images, rng, labels)
    if not isinstance(found, torch.Tensor) or found.shape != (len(images),) or not found.is_floating_point():
        what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise ValueError(f"log_likelihood returned {what} for {len(images)} images, not one float per image.")
    return found.cpu().double()


def bound_held_out(
    built: SampledModel, data: LoadedData, seed: int, device: torch.device, draws: int, count: int | None
) -> LikelihoodBound:
    """Return the bound on all held-out images, or on `count` of them, in evaluation mode; float64, on the CPU.

    At most `SAMPLING_BATCH` latents are decoded at a time, however many there are per image. The same weights always
    give the same bound. Raises ValueError where the family returns other shapes, or parts that do not add up.
    """
    family = cast("LikelihoodFamily", built.family_for_sampling())
    rng = seeded_generator(seed, "likelihood", device)
    chosen = choose_images(len(data.test_pixels), count)
    groups = [min(SAMPLING_BATCH, draws - done) for done in range(0, draws, SAMPLING_BATCH)]
    found = []
    with inference_context(built.sampled_networks.values(), device):
        for rows in torch.split(chosen, max(1, SAMPLING_BATCH // draws)):
            images, labels = held_out_batch(built, data, rows, device)
            parts = [checked_bound(family, images, group, rng, labels) for group in groups]
            found.append(_join_draws(parts, groups))
    bound = LikelihoodBound(
        log_weights=torch.cat([part.log_weights for part in found], 1).clone(),
        distortion=torch.cat([part.distortion for part in found]).clone(),
        rate=torch.cat([part.rate for part in found]).clone(),
        mean=_join_means([part.mean for part in found]),
        importance=all(part.importance for part in found),
    )
    require_parts_add_up(bound)
    return bound


def require_parts_add_up(bound: LikelihoodBound) -> None:
    """Raise ValueError if the ELBO differs from -(rate + distortion) by more than chance; needs some images to tell."""
    sums = bound.log_weights.mean(0) + bound.distortion + bound.rate
    if len(sums) < LEAST_JUDGED:
        return
    found, error = float(sums.mean()), float(sums.std()) / math.sqrt(len(sums))
    rounding = 1e-4 * (1 + float(bound.distortion.abs().mean() + bound.rate.abs().mean()))  # of sums in fp32
    if abs(found) > 5 * error + rounding:
        raise ValueError(
            f"the parts of the bound do not add up: elbo + rate + distortion is {found:.4g} ± {error:.2g} nats, not 0. "
            "The family or the loss is at fault; `genbench plugin test` examines them (rule likelihood-parts)."
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
    shares = torch.tensor(draws, dtype=torch.float64)[:, None] / sum(draws)
    distortion, rate = (
        (shares * torch.stack(each)).sum(0)
        for each in ([part.distortion for part in parts], [part.rate for part in parts])
    )
    weights = torch.cat([part.log_weights for part in parts])
    return LikelihoodBound(weights, distortion, rate, parts[0].mean, parts[0].importance)


def _join_means(means: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    known = [mean for mean in means if mean is not None]
    return torch.cat(known).clone() if known else None


def checked_bound(
    family: LikelihoodFamily, images: torch.Tensor, draws: int, rng: torch.Generator, labels: torch.Tensor | None
) -> LikelihoodBound:
    """Return the bound in float64 on the CPU; raise ValueError where it is not as documented."""
    bound: object = family.bound(images, draws, rng, labels)
    if not isinstance(bound, LikelihoodBound):
        raise ValueError(f"bound returned {type(bound).__name__}, not a genbench.LikelihoodBound.")
    count = len(images)

    def part(name: str, *shape: int | str) -> torch.Tensor:
        found: object = getattr(bound, name)
        if not isinstance(found, torch.Tensor) or not _fits(found, shape):
            what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
            raise ValueError(
                f"`{name}` of the bound is {what}, not floats {wanted}, for {draws} latents for each of {count} images."
            )
        return found.cpu().double()

    return LikelihoodBound(
        log_weights=part("log_weights", draws, count),
        distortion=part("distortion", count),
        rate=part("rate", count),
        mean=None if bound.mean is None else part("mean", count, "latent_dim"),
        importance=bool(bound.importance),
    )


def _fits(part: torch.Tensor, shape: tuple[int | str, ...]) -> bool:
    if part.ndim != len(shape) or not part.is_floating_point():
        return False
    return all(size == wanted or isinstance(wanted, str) for size, wanted in zip(part.shape, shape, strict=True))
