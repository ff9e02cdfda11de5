"""Coverage of the intervals from the standard errors of metrics, by simulation.

    python benchmarks/metrics/interval_coverage.py --out results/reference/metric-interval-coverage.json

Each case draws samples again and again beside the same training images, measures them, and counts how many 95 %
intervals hold the truth: the known distance where there is one, otherwise the mean over all draws, since these values
are defined for a number of samples. An interval is the value ± t times its standard error, with t of 19 degrees of
freedom for the jackknife over 20 blocks (2.093), and 1.96 for the others. With 500 repetitions the standard error of a
share of 95 % is 1 %. In the cases "no difference" the samples have the distribution of the training images.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.metrics.feature_scores.feature_likelihood import Mixture, baseline_of, fit, scaling
from genbench.metrics.feature_scores.frechet_infinity import infinite_distance
from genbench.metrics.feature_scores.mean_discrepancy import discrepancy
from genbench.metrics.feature_scores.rarity import K, rarity
from genbench.metrics.feature_scores.spread import spread
from genbench.metrics.feature_scores.vendi import scores
from genbench.metrics.feature_sets import unit_length
from genbench.metrics.frechet import frechet_distance, jackknife_distance, statistics
from genbench.metrics.manifolds import radii
from genbench.metrics.networks.classification_accuracy import accuracy_and_error
from genbench.metrics.standard_errors import (
    make_blocks,
    mean_and_standard_error,
    quantile_and_standard_error,
    standard_error_from_replicates,
)

JACKKNIFE, NORMAL = 2.093, 1.96
N, D, REFERENCE = 400, 6, 600
Case = Callable[[int], tuple[float, float | None]]  # seed -> value and standard error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = []
    for name, factor, truth, case in cases():
        draws = [case(seed) for seed in range(arguments.repetitions)]
        values = torch.tensor([value for value, _ in draws], dtype=torch.float64)
        errors = torch.tensor([error for _, error in draws], dtype=torch.float64)
        centre = float(values.mean()) if truth is None else truth
        share = float(((values - centre).abs() <= factor * errors).double().mean())
        ratio = float(errors.square().mean().sqrt() / values.std())
        found.append({"case": name, "nominal": 0.95, "share": round(share, 4), "error_over_spread": round(ratio, 3)})
        print(f"{100 * share:6.2f} %  error / spread {ratio:.2f}  {name}", flush=True)
    if arguments.out:
        report = {"repetitions": arguments.repetitions, "cases": found}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def cases() -> list[tuple[str, float, float | None, Case]]:
    """Return each case: name, factor of the error, known truth, and what one repetition measures."""
    found: list[tuple[str, float, float | None, Case]] = []
    for label, shift, scale in (("different", 0.3, 1.2), ("no difference", 0.0, 1.0)):
        truth = D * shift**2 + D * (scale - 1) ** 2
        draw = functools.partial(samples, shift=shift, scale=scale)
        found += [
            (f"fd-infinity, {label}", JACKKNIFE, truth, functools.partial(extrapolated, draw)),
            (f"mmd, {label}", JACKKNIFE, None, functools.partial(kernel, draw)),
            (f"vendi-q1, {label}", JACKKNIFE, None, functools.partial(diversity, draw, 1.0)),
            (f"vendi-q2, {label}", JACKKNIFE, None, functools.partial(diversity, draw, 2.0)),
            (f"vendi-inf, {label}", JACKKNIFE, None, functools.partial(diversity, draw, math.inf)),
            (f"feature-variance, {label}", JACKKNIFE, None, functools.partial(variation, draw, "variance")),
            (f"effective-rank, {label}", JACKKNIFE, None, functools.partial(variation, draw, "rank")),
            (f"rarity-k3, {label}", NORMAL, None, functools.partial(rare, draw, False)),
            (f"outside-k3, {label}", NORMAL, None, functools.partial(rare, draw, True)),
            (f"fld, {label}", NORMAL, None, functools.partial(likelihood, draw)),
            (f"class-fd of four classes, {label}", NORMAL, None, functools.partial(per_class, draw)),
        ]
    for share in (0.05, 0.5, 0.95):
        truth = -math.log(1 - share)
        found.append((f"reconstruction-error, quantile {share:g}", NORMAL, truth, functools.partial(quantile, share)))
    found.append(("cas, 3 classifiers, 400 held-out images", NORMAL, None, accuracy))
    return found


def normal(n: int, seed: int, d: int = D) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def samples(seed: int, shift: float, scale: float) -> Tensor:
    return scale * normal(N, seed + 1_000_000) + shift


def blocks(n: int, seed: int) -> list[Tensor]:
    return make_blocks(n, torch.Generator().manual_seed(seed))


@functools.cache
def training_images() -> Tensor:
    return normal(REFERENCE, 0)


def extrapolated(draw: Callable[[int], Tensor], seed: int) -> tuple[float, float | None]:
    exact = Statistics(torch.zeros(D, dtype=torch.float64), torch.eye(D, dtype=torch.float64), None)
    return infinite_distance(draw(seed), exact, blocks(N, seed), seed)


def kernel(draw: Callable[[int], Tensor], seed: int) -> tuple[float, float | None]:
    found = discrepancy(unit_length(draw(seed)), unit_length(training_images()), blocks(N, seed))
    return found.biased, found.standard_error


def diversity(draw: Callable[[int], Tensor], order: float, seed: int) -> tuple[float, float | None]:
    return scores(unit_length(draw(seed)), blocks(N, seed), (order,))[0]


def variation(draw: Callable[[int], Tensor], which: str, seed: int) -> tuple[float, float | None]:
    found, error = spread(draw(seed) * torch.linspace(0.5, 2, D, dtype=torch.float64), blocks(N, seed))
    return getattr(found, which), getattr(error, which)


def rare(draw: Callable[[int], Tensor], outside: bool, seed: int) -> tuple[float, float | None]:
    found = rarity(training_images(), draw(seed), radii(training_images(), K))
    within = found.isfinite()
    return mean_and_standard_error((~within).double() if outside else found[within])


def likelihood(draw: Callable[[int], Tensor], seed: int) -> tuple[float, float | None]:
    """`fld` with 200 samples and other held-out images each time, and the same training images."""
    test, x = normal(300, seed + 2_000_000), draw(seed)[:200]
    scale = scaling(test)
    found = Mixture(scale(x), fit(scale(x), scale(training_images())))
    baseline, _ = baseline_of(scale(training_images()), scale(test), 200)
    each, without = found.likelihoods(scale(test), blocks(200, seed))
    value, of_images = mean_and_standard_error(each - baseline)
    return value, math.hypot(standard_error_from_replicates(without), of_images or 0)


def per_class(draw: Callable[[int], Tensor], seed: int) -> tuple[float, float | None]:
    reference = statistics(training_images())
    values, errors = [], []
    for number in range(4):
        x = draw(4 * seed + number)
        values.append(frechet_distance(statistics(x), reference))
        errors.append(jackknife_distance(x, reference, blocks(N, seed)).standard_error)
    return sum(values) / 4, math.hypot(*errors) / 4


def quantile(share: float, seed: int) -> tuple[float, float | None]:
    values = torch.empty(N).exponential_(generator=torch.Generator().manual_seed(seed))
    return quantile_and_standard_error(values, share)


def accuracy(seed: int) -> tuple[float, float | None]:
    """Classifiers whose accuracy differs with sd 0.02, on held-out images that differ in difficulty."""
    rng = torch.Generator().manual_seed(seed)
    p = (0.7 + 0.02 * torch.randn(3, 1, generator=rng) + 0.2 * torch.randn(1, 400, generator=rng)).clamp(0, 1)
    return accuracy_and_error(torch.rand(3, 400, generator=rng) < p)


if __name__ == "__main__":
    main()
