"""Feature likelihood divergence against closed forms, the authors' program, and its own error and null."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genbench.metrics.feature_scores.feature_likelihood import (
    Likelihoods,
    Mixture,
    _gradients,
    _squared_distances,
    baseline_of,
    fit,
    mean_and_error,
    scaling,
)
from genbench.metrics.standard_errors import Deletions, make_blocks, rows_outside


def gaussian(n: int, d: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_likelihood_is_that_of_torch_distributions() -> None:
    centres, log_variances, images = gaussian(7, 3, 1), gaussian(7, 1, 2).squeeze(1), gaussian(11, 3, 3)
    parts = torch.distributions.Independent(
        torch.distributions.Normal(centres, (log_variances / 2).exp()[:, None].expand(-1, 3)), 1
    )
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(7)), parts)
    found = Mixture(centres, log_variances).likelihoods(images).each
    torch.testing.assert_close(found, -mixture.log_prob(images) / 3)


def test_leaving_out_blocks_is_the_mixture_of_the_other_samples() -> None:
    centres, log_variances, images = gaussian(12, 3, 1), gaussian(12, 1, 2).squeeze(1), gaussian(9, 3, 3)
    deletions = Deletions(make_blocks(12, torch.Generator().manual_seed(0), 6))
    found = Mixture(centres, log_variances).likelihoods(images, deletions)
    torch.testing.assert_close(found.each, Mixture(centres, log_variances).likelihoods(images).each)
    for left, values in zip(deletions.rows, found.without.T, strict=True):
        kept = rows_outside(left, 12)
        torch.testing.assert_close(values, Mixture(centres[kept], log_variances[kept]).likelihoods(images).each)


def test_its_error_is_that_of_drawing_samples_and_images_together() -> None:
    """Of f(sample) + g(image) + h(sample, image), averaged over all pairs: σ²_f/m + σ²_g/n + σ²_h/mn.

    The two errors added would count σ²_h/mn twice.
    """
    m, n, shares, found = 40, 60, (1.0, 0.5, 8.0), []
    for seed in range(150):
        rng = torch.Generator().manual_seed(seed)
        samples, images = (torch.randn(size, 17, generator=rng, dtype=torch.float64) for size in (m, n))
        pairs = shares[0] * samples[:, :1] + shares[1] * images[:, 0] + shares[2] * samples[:, 1:] @ images[:, 1:].T / 4
        deletions = Deletions(make_blocks(m, rng))
        without = deletions.kept @ torch.stack([pairs[rows].sum(0) for rows in deletions.blocks])
        without /= (deletions.kept.sum(1) * m / len(deletions.blocks))[:, None]
        of_images = make_blocks(n, rng, len(deletions.blocks))
        found.append(mean_and_error(Likelihoods(pairs.mean(0), without.T), deletions, of_images)[1] or 0.0)
    exact = shares[0] ** 2 / m + shares[1] ** 2 / n + shares[2] ** 2 / (m * n)
    assert sum(error**2 for error in found) / len(found) == pytest.approx(100**2 * exact, rel=0.12)


def test_the_gradients_are_those_of_automatic_differentiation() -> None:
    centres, images, d = gaussian(6, 4, 1), gaussian(20, 4, 2), 4
    squared, from_mean = torch.cdist(images, centres).square(), images.square().sum(1, keepdim=True)
    variances, of_mean = gaussian(6, 1, 3).squeeze(1).requires_grad_(), torch.tensor([0.3]).double().requires_grad_()

    def density(squared: Tensor, log_variance: Tensor) -> Tensor:
        return -squared / (2 * log_variance.exp()) - d / 2 * (log_variance + math.log(2 * math.pi))

    logs = torch.cat([density(squared, variances) - math.log(6), density(from_mean, of_mean)], 1)
    expected = torch.autograd.grad(-logs.logsumexp(1).mean() / d, (variances, of_mean))
    found = _gradients(squared.float(), from_mean, variances.detach(), of_mean.detach(), d)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_sample_far_from_the_others_gets_the_variance_of_the_images_around_it() -> None:
    """Of one Gaussian around c, the likelihood is highest at σ² = mean |x - c|² / d; the mean of all is far away."""
    parts = [gaussian(400, 6, 1, 1.5), gaussian(400, 6, 2, 0.5)]
    centres = torch.tensor([[100.0], [-100.0]], dtype=torch.float64).expand(2, 6)
    best = [float(part.square().sum(1).mean() / 6) for part in parts]
    found = fit(centres, torch.cat([part + centre for part, centre in zip(parts, centres, strict=True)]), epochs=400)
    assert found.exp().tolist() == pytest.approx(best, rel=0.03)


def test_distances_of_copies_are_exactly_0() -> None:
    x = gaussian(50, 300, 1) + 100
    squared = _squared_distances(x, x)
    assert float(squared.diagonal().abs().max()) == 0
    torch.testing.assert_close(squared, torch.cdist(x, x).square(), rtol=1e-6, atol=1e-6)


def test_it_is_the_authors_number() -> None:
    module = pytest.importorskip("fld.metrics.FLD", reason="the authors' program is not installed")
    theirs = pytest.importorskip("fld.MoG")
    train, test, samples = (gaussian(n, 10, seed).float() for n, seed in ((300, 1), (200, 2), (150, 3)))
    samples = 1.2 * samples + 0.2
    train_scaled, test_scaled, samples_scaled = theirs.preprocess_feat(train, test, samples)
    mixture = theirs.MoG(samples_scaled)
    mixture.fit(train_scaled)
    scale = scaling(test.double())
    ours = Mixture(scale(samples.double()), fit(scale(samples.double()), scale(train.double())))
    for images, scaled in ((train, train_scaled), (test, test_scaled)):
        expected = mixture.get_dim_adjusted_nlls(scaled).mean().item()
        assert float(ours.likelihoods(scale(images.double())).each.mean()) == pytest.approx(expected, rel=1e-4)
    gap = module.FLD(eval_feat="gap").compute_metric(train, test, samples)
    found = [float(ours.likelihoods(scale(images.double())).each.mean()) for images in (train, test)]
    assert 100 * (found[0] - found[1]) == pytest.approx(gap, abs=0.02)


def divergence(samples: Tensor, train: Tensor, test: Tensor) -> tuple[float, float]:
    scale = scaling(test)
    samples, train, test = scale(samples), scale(train), scale(test)
    mixture = Mixture(samples, fit(samples, train))
    unseen = mixture.likelihoods(test).each
    baseline, _ = baseline_of(train, test, len(samples))
    return 100 * float((unseen - baseline).mean()), 100 * float(mixture.likelihoods(train).each.mean() - unseen.mean())


def test_a_perfect_generator_scores_about_0_and_copies_have_a_gap() -> None:
    found = torch.tensor(
        [
            divergence(gaussian(150, 5, 3 * s), gaussian(400, 5, 3 * s + 1), gaussian(300, 5, 3 * s + 2))
            for s in range(12)
        ]
    )
    mean, error = found.mean(0), found.std(0) / 12**0.5
    assert abs(float(mean[0])) < 4 * float(error[0])
    train, test = gaussian(400, 5, 1), gaussian(300, 5, 2)
    wrong = divergence(gaussian(150, 5, 3) + 1.0, train, test)[0]
    copied = divergence(train[:150] + 1e-3 * gaussian(150, 5, 3), train, test)
    assert min(wrong, copied[0]) > float(mean[0] + 5 * found[:, 0].std())
    assert copied[1] < 5 * float(mean[1])  # both are negative
