"""The metrics `fld-…` and `fld-gap-…`: the likelihood of held-out images under a mixture around the samples.

Feature likelihood divergence (Jiralerspong et al., 2023, arXiv:2302.04440, sections 3 and 4). Features are scaled by
mean and standard deviation of the held-out images. Each sample is the centre of an isotropic Gaussian; the m variances
are fitted to the training images by gradient ascent on their likelihood. With the negative log-likelihood L of a set
under this mixture, in nats per image and feature:

    FLD = 100 (L(held-out) - L₀)        gap = 100 (L(training) - L(held-out))

L₀ is L(held-out) of the same model around training images, fitted to the other training images. A perfect generator
scores about 0, a poor one more; but fitted variances make up for samples that spread too little. Where samples are
copies of training images, the mixture collapses onto these: L(training) falls far below L(held-out), so that FLD rises
and the gap is far below 0.

Fitting follows the authors' program: Adam with learning rate 0.5, 50 epochs in batches of 10,000, from variances equal
to the squared distance of the nearest training image per feature, with a component around the mean of the training
images that is left out afterwards. With few training images this stops short of the optimum, for L₀ too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.api.evaluation import Direction, Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import (
    SUBSET_SEED,
    all_among,
    comparable_features,
    earned_name,
    protocol_of,
    random_subset,
)
from genbench.metrics.neighbours import exact_squared_distances
from genbench.metrics.standard_errors import Deletions, make_blocks

MOST = 10_000  # samples, and images of a batch
EPOCHS = 50
LEARNING_RATE = 0.5
HELD_OUT = 20  # images at least
FEW = 100  # samples
GAP = "training images in place of samples have a gap of {:.3g}; one far below it is a sign of copies"
SMALL = f"fewer than {FEW} samples: the standard error is a few per cent too small"
_SHRINKING = 0.9**2  # of the squared distances from the mean of the training images
_LEAST_DISTANCE = 1e-3  # added to the squared distance of the nearest training image
_BOUNDS = (-40.0, 20.0)  # of the logarithms of variances
_ROWS = 256
_NEAR = 1e-9  # relative to |a|² + |b|²; below, rounding of a product could show in |a - b|²
_LOG_TWO_PI = math.log(2 * math.pi)


class Likelihoods(NamedTuple):
    """Negative log-likelihoods per feature of each image of a set, under all samples and without some of them."""

    each: Tensor  # (N,)
    without: Tensor  # (N, replicates)


@dataclass(frozen=True)
class Mixture:
    """Isotropic Gaussians of equal weight."""

    centres: Tensor  # (m, d)
    log_variances: Tensor  # (m,)

    def likelihoods(self, images: Tensor, deletions: Deletions | None = None) -> Likelihoods:
        """Return the negative log-likelihoods per feature of images (N, d), also without each of `deletions`."""
        m, d = self.centres.shape
        blocks = [torch.arange(m)] if deletions is None else deletions.blocks
        member = torch.zeros(m, dtype=torch.int64, device=self.centres.device)
        for number, rows in enumerate(blocks):
            member[rows] = number
        sizes = torch.bincount(member, minlength=len(blocks)).double()
        kept = torch.ones(0, 1) if deletions is None else deletions.kept
        kept = kept.to(self.centres)
        each, without = [], []
        for rows in torch.split(images, _ROWS):
            logs = _log_densities(_squared_distances(rows, self.centres), self.log_variances, d)
            most = logs.amax(1, keepdim=True)
            sums = torch.zeros(len(rows), len(blocks), dtype=logs.dtype, device=logs.device)
            sums.index_add_(1, member, (logs - most).exp())
            each.append(-(most + sums.sum(1, keepdim=True).log() - math.log(m)).squeeze(1) / d)
            # a block may hold all of an image's density: those that are kept are added, which cancels nothing
            rest = (sums @ kept.T).clamp_min(torch.finfo(sums.dtype).tiny).log()
            without.append(-(rest + most - (kept @ sizes).log()) / d)
        return Likelihoods(torch.cat(each), torch.cat(without))


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the divergence and the gap, from at most 10,000 samples and half as many as there are training images.

    The standard errors cover the drawing of samples, at fixed variances, and of held-out images.
    `null` is 0 for the divergence by its definition. The gap has none, because a gap above that of L₀'s own mixture,
    which a footnote states, is no better: where samples are far from the images, it is about 0.
    """
    name = earned_name("fld", evaluation, extractor)
    try:
        samples, train, test = comparable_features(evaluation, extractor, "samples", "train", "test", at_least=4)
        if len(test) < HELD_OUT:
            raise ValueError(f"it needs at least {HELD_OUT} held-out images; there are {len(test)}.")
        if all_among(samples, test):
            raise ValueError("the samples are held-out images, whose likelihood is measured.")
    except ValueError as error:
        return [Unavailable(name, str(error))]
    m = min(len(samples), MOST, len(train) // 2)
    subset = (
        {} if m == len(samples) else {"subset": f"{m} of {len(samples)} samples, at random with seed {SUBSET_SEED}"}
    )
    scale = scaling(test)
    samples, train, test = (scale(features) for features in (random_subset(samples, m), train, test))
    rng = evaluation.generator(f"jackknife of {name}")
    deletions = Deletions(make_blocks(m, rng))
    of_images = make_blocks(len(test), rng, len(deletions.blocks))
    device = evaluation.device
    baseline, gap_of_data = evaluation.of_data(
        f"{name}: baseline of {m}", lambda: computed_on(device, lambda a, b: baseline_of(a, b, m), train, test)
    )

    def scores(samples: Tensor, train: Tensor, test: Tensor) -> tuple[tuple[float, float | None], ...]:
        mixture = Mixture(samples, fit(samples, train))
        seen, unseen = (mixture.likelihoods(images, deletions) for images in (train, test))
        base = baseline.to(unseen.each)
        gaps = Likelihoods(seen.each.mean() - unseen.each, seen.without.mean(0) - unseen.without)
        return (
            mean_and_error(Likelihoods(unseen.each - base, unseen.without - base[:, None]), deletions, of_images),
            mean_and_error(gaps, deletions, of_images),
        )

    divergence, gap = computed_on(device, scores, samples, train, test)

    def estimate(
        metric: str, found: tuple[float, float | None], direction: Direction, null: float | None, remark: str = ""
    ) -> Estimate:
        protocol = protocol_of(
            evaluation, extractor, n_held_out=len(test), epochs=EPOCHS, learning_rate=LEARNING_RATE, **subset
        )
        remarks = "; ".join(filter(None, (remark, SMALL if m < FEW else "")))
        return Estimate(metric, *found, m, direction, protocol, null=null, remark=remarks)

    return [
        estimate(name, divergence, "lower", 0.0),
        estimate(name.replace("fld", "fld-gap", 1), gap, "higher", None, GAP.format(gap_of_data)),
    ]


def scaling(reference: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map of features (N, d) under which `reference` has mean 0 and variance 1 in each that varies."""
    mean, deviation = reference.mean(0), reference.std(0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return lambda features: (features - mean) / deviation


def fit(centres: Tensor, images: Tensor, epochs: int = EPOCHS, seed: int = SUBSET_SEED) -> Tensor:
    """Return the logarithms of the variances (m,) around centres (m, d), fitted to images (N, d)."""
    d = centres.shape[1]
    rng = torch.Generator().manual_seed(seed)
    images = images[torch.randperm(len(images), generator=rng).to(images.device)] if len(images) > MOST else images
    squared = torch.cat([_squared_distances(rows, centres).float() for rows in torch.split(images, _ROWS)])
    from_mean = (images - images.mean(0)).square().sum(1, keepdim=True) * _SHRINKING
    log_variances = ((squared.amin(0).double() + _LEAST_DISTANCE) / d).log()
    of_mean = torch.zeros(1, dtype=torch.float64, device=images.device)  # of the component around the mean
    optimiser = torch.optim.Adam([log_variances, of_mean], lr=LEARNING_RATE)
    batches = torch.split(torch.arange(len(images), device=images.device), MOST)
    for _ in range(epochs):
        for batch in batches:
            found = _gradients(squared[batch], from_mean[batch], log_variances, of_mean, d)
            log_variances.grad, of_mean.grad = found
            optimiser.step()
            log_variances.clamp_(*_BOUNDS)
    return log_variances


def _gradients(
    squared: Tensor, from_mean: Tensor, log_variances: Tensor, of_mean: Tensor, d: int
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the mean negative log-likelihood per feature, in closed form.

    That of a component's log-variance is -Σᵢ rᵢ (|xᵢ - c|² / 2σ² - d/2) / (N d), with its responsibilities rᵢ.
    """
    m = len(log_variances)
    gradient, gradient_of_mean = torch.zeros_like(log_variances), torch.zeros_like(of_mean)
    shares, constants = (0.5 * (-log_variances).exp()).float(), (d / 2 * (log_variances + _LOG_TWO_PI)).float()
    for rows, mean_rows in zip(torch.split(squared, _ROWS), torch.split(from_mean, _ROWS), strict=True):
        half = rows * shares  # float32 is enough for gradients
        logs = -half - constants - math.log(m)
        half_of_mean = mean_rows / of_mean.exp() / 2
        mean_logs = -half_of_mean - d / 2 * (of_mean + _LOG_TWO_PI)
        total = torch.logaddexp(logs.logsumexp(1, keepdim=True).double(), mean_logs)
        gradient -= ((logs - total.float()).exp_() * (half - d / 2)).sum(0)
        gradient_of_mean -= ((mean_logs - total).exp() * (half_of_mean - d / 2)).sum(0)
    return gradient / (len(squared) * d), gradient_of_mean / (len(squared) * d)


def baseline_of(train: Tensor, test: Tensor, m: int) -> tuple[Tensor, float]:
    """Return L₀ of each held-out image, (N,), and the gap of the mixture around m of the training images."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SUBSET_SEED)).to(train.device)
    centres, rest = train[order[:m]], train[order[m:]]
    mixture = Mixture(centres, fit(centres, rest))
    seen, unseen = (mixture.likelihoods(images).each for images in (rest, test))
    return unseen.cpu(), 100 * float(seen.mean() - unseen.mean())


def mean_and_error(found: Likelihoods, deletions: Deletions, of_images: Sequence[Tensor]) -> tuple[float, float | None]:
    """Return 100 times the mean over images, and its standard error from drawing both samples and images.

    Each replicate leaves out a block of samples together with a block of images. Errors of the two, added, would count
    twice that a sample is near an image, which is as much a matter of the one draw as of the other.
    """
    blocks = len(deletions.blocks)
    if blocks < 2:
        return 100 * float(found.each.mean()), None
    without = found.without.cpu()
    sums = torch.stack([without[rows].sum(0) for rows in of_images])  # (blocks, replicates)
    sizes = torch.tensor([float(len(rows)) for rows in of_images], dtype=torch.float64)
    value, kept = float(found.each.mean()), deletions.kept
    error = deletions.standard_error(value, (kept * sums.T).sum(1) / (kept @ sizes))
    return 100 * value, None if error is None else 100 * error


def _log_densities(squared: Tensor, log_variances: Tensor, d: int) -> Tensor:
    return squared.div(log_variances.exp()).div_(-2).sub_(d / 2 * (log_variances + _LOG_TWO_PI))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b|² of all pairs of rows, float64: exactly 0 for copies."""
    size = b.square().sum(1) + a.square().sum(1)[:, None]
    squared = torch.addmm(size, a, b.T, alpha=-2)
    rows, columns = (squared < _NEAR * size).nonzero(as_tuple=True)
    squared[rows, columns] = exact_squared_distances(a, rows, b, columns)
    return squared
