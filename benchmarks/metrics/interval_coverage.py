"""Coverage of the intervals from the standard errors of metrics, by simulation.

    python benchmarks/metrics/interval_coverage.py --out results/reference/metric-interval-coverage.json

Each case draws samples again and again beside the same training images, measures them with the functions behind the
metrics (where these would take hours, with their sums and errors of many draws at once), and counts how many 95 %
intervals hold the truth: the known distance where there is one, otherwise the mean over all draws, since these values
are defined for a number of samples. An interval is the value ± t times its standard error, with t of 19 degrees of
freedom for the jackknife over 20 blocks (2.093), of 38 for the mean of two such values (2.024; Welch 1947), and 1.96
for the others. With 2,000 repetitions the standard error of a share of 95 % is 0.5 %, with 500 it is 1 %.

Some cases alone are measured again by their names; the file keeps the others:

    … --only vendi class-fd --out results/reference/metric-interval-coverage.json

Samples are N(shift, scale² I), training images N(0, I). "Equal" samples have the distribution of the training images,
those of small shifts differ from them by about as much as drawing samples again does, where an interval is hardest to
get right. Cases with "limit" are known not to hold what the others do; docs/statistics.md says why.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.metrics.feature_scores.feature_likelihood import (
    FEW,
    Likelihoods,
    Mixture,
    baseline_of,
    fit,
    mean_and_error,
    scaling,
)
from genbench.metrics.feature_scores.frechet_infinity import PARTS, intercept
from genbench.metrics.feature_scores.mean_discrepancy import discrepancy, kernel_of_unit_vectors
from genbench.metrics.feature_scores.rarity import K, rarity
from genbench.metrics.feature_scores.spread import spread
from genbench.metrics.feature_scores.vendi import vendi_score
from genbench.metrics.feature_sets import unit_length
from genbench.metrics.frechet import statistics
from genbench.metrics.kernel_distance import mean_of_pairs
from genbench.metrics.manifolds import radii
from genbench.metrics.networks.classification_accuracy import accuracy_and_error
from genbench.metrics.standard_errors import (
    Deletions,
    error_of_mean,
    make_blocks,
    mean_and_standard_error,
    quantile_and_standard_error,
    standard_error_from_replicates,
)

JACKKNIFE, TWO_JACKKNIVES, NORMAL = 2.093, 2.024, 1.96
ORDERS = (1.0, 2.0, math.inf)  # of Vendi scores
REFERENCE = 600  # training images
BATCH = 100  # repetitions whose eigenvalues are computed at once
Measured = tuple[float, float | None]  # value and standard error


@dataclass(frozen=True)
class Case:
    """What is measured in each repetition."""

    name: str
    measure: Callable[[range], Sequence[Measured]]  # of some seeds
    factor: float = JACKKNIFE
    truth: float | None = None  # None: the mean over draws
    limit: bool = False  # known not to hold


@dataclass(frozen=True)
class Draw:
    """How samples are drawn."""

    label: str
    n: int
    d: int
    shift: float = 0.0
    scale: float = 1.0

    def __call__(self, seed: int) -> Tensor:
        """Return samples (n, d)."""
        return self.scale * normal(self.n, seed + 1_000_000, self.d) + self.shift

    @property
    def named(self) -> str:
        """Return what the name of a case says about it."""
        return f"{self.label}, {self.n} samples of {self.d} features"

    @property
    def distance(self) -> float:
        """Return the Fréchet distance of the distributions."""
        return self.d * (self.shift**2 + (self.scale - 1) ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose names begin with one of these")
    parser.add_argument("--out", type=Path, help="written after each case; other cases that it holds are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known: dict[str, dict[str, object]] = {}
    if arguments.out and arguments.out.is_file():
        known = {one["case"]: one for one in json.loads(arguments.out.read_text(encoding="utf-8"))["cases"]}
    everything = list(cases())
    for case in everything:
        if case.name.startswith(tuple(arguments.only)):
            known[case.name] = covered(case, arguments.repetitions)
        if arguments.out:
            found = [known[case.name] for case in everything if case.name in known]
            text = json.dumps({"nominal": 0.95, "cases": found}, indent=1)
            arguments.out.write_text(text + "\n", encoding="utf-8")


def covered(case: Case, repetitions: int) -> dict[str, object]:
    """Return and print how many intervals hold the truth."""
    start = time.process_time()
    draws = [
        one
        for first in range(0, repetitions, BATCH)
        for one in case.measure(range(first, min(repetitions, first + BATCH)))
    ]
    values, errors = torch.tensor(draws, dtype=torch.float64).T
    centre = float(values.mean()) if case.truth is None else case.truth
    share = float(((values - centre).abs() <= case.factor * errors).double().mean())
    ratio = float(errors.square().mean().sqrt() / values.std())
    seconds = time.process_time() - start
    print(f"{100 * share:6.2f} %  error / spread {ratio:.2f}  {seconds:4.0f} s  {case.name}", flush=True)
    return {
        "case": case.name,
        "share": round(share, 4),
        "error_over_spread": round(ratio, 3),
        "repetitions": repetitions,
        **({"limit": True} if case.limit else {}),
    }


def cases() -> Iterator[Case]:
    """Yield the cases."""
    for n, shifts in ((200, (0.0, 0.07, 0.14)), (400, (0.0, 0.1))):
        for draw in (*shifted(n, 16, shifts), Draw("far", n, 16, shift=0.3, scale=1.2)):
            yield Case(f"fd-infinity, {draw.named}", part(extrapolated, draw), truth=draw.distance)
        for draw in (*shifted(n, 64, shifts), Draw("far", n, 64, shift=0.3)):
            yield Case(f"mmd, {draw.named}", each(kernel, draw))
        for draw in (*shifted(n, 16, shifts), Draw("far", n, 16, shift=0.3, scale=1.2)):
            yield Case(f"fd, {draw.named}", part(plain, draw), limit=draw.distance < 1)
            yield Case(
                f"fid --explain, difference of protocols, {draw.named}",
                part(between_protocols, draw),
                limit=draw.distance < 1,
            )
    for draw in (*shifted(100, 8, (0.0, 0.15)), Draw("far", 100, 8, shift=0.3, scale=1.2)):
        yield Case(f"class-fd of two classes, {draw.named} each", part(per_class, draw), TWO_JACKKNIVES)
    for n in (200, 400):
        draw = Draw("", n, 16)
        for order in ORDERS:
            name = f"vendi-q{order:g}, {n} samples of 16 features"
            yield Case(
                f"{name}, in all directions alike", part(diversity, draw, order, 0.0, 0.0), limit=math.isinf(order)
            )
            yield Case(f"{name}, around a common direction", part(diversity, draw, order, 1.0, 0.5))
    for which in ("variance", "rank"):
        yield Case(f"spread, {which}, 400 samples of 6 features", each(variation, Draw("", 400, 6), which))
    for n in (60, 120):
        for draw in (Draw("equal", n, 6), Draw("nearby", n, 6, 0.1), Draw("far", n, 6, 0.3, 1.2)):
            yield Case(f"fld, {draw.named}", each(likelihood, draw), limit=n < FEW)
    for draw in (Draw("equal", 400, 6), Draw("far", 400, 6, 0.3, 1.2)):
        yield Case(f"rarity-k3, {draw.named}", each(rare, draw, False), NORMAL)
        yield Case(f"outside-k3, {draw.named}", each(rare, draw, True), NORMAL)
    for share in (0.05, 0.5, 0.95):
        truth = -math.log(1 - share)
        yield Case(f"reconstruction-error, quantile {share:g}", each(quantile, share), NORMAL, truth)
    yield Case("cas, 3 classifiers, 400 held-out images", each(accuracy), NORMAL)
    few = Draw("equal", 400, 6)
    yield Case(f"mmd, {few.named}", each(kernel, few))


part = functools.partial


def each(measure: Callable[..., Measured], *given: object) -> Callable[[range], list[Measured]]:
    """Return what measures one seed after the other."""
    return lambda seeds: [measure(*given, seed) for seed in seeds]


def shifted(n: int, d: int, shifts: Sequence[float]) -> list[Draw]:
    """Return draws that differ in their means: equal ones, and others nearby."""
    return [Draw(f"shifted by {shift:g}" if shift else "equal", n, d, shift) for shift in shifts]


def normal(n: int, seed: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(n: int, seed: int) -> list[Tensor]:
    return make_blocks(n, torch.Generator().manual_seed(seed))


@functools.cache
def training_images(d: int, n: int = REFERENCE) -> Tensor:
    return normal(n, 0, d)


class Fitted(NamedTuple):
    """Gaussians fitted to samples, as sums over them."""

    n: Tensor  # (…)
    total: Tensor  # (…, d)
    products: Tensor  # (…, d, d): of the samples with themselves

    def distances(self, reference: Statistics) -> Tensor:
        """Return the Fréchet distances, as `genbench.metrics.frechet` defines them, of all at once."""
        n = self.n[..., None, None]
        mean = self.total / self.n[..., None]
        covariance = (self.products - n * mean[..., :, None] * mean[..., None, :]) / (n - 1)
        roots = torch.linalg.eigvalsh(reference.factor @ covariance @ reference.factor.T).clamp_min(0).sqrt()
        traces = covariance.diagonal(dim1=-2, dim2=-1).sum(-1) + reference.factor.square().sum()
        found: Tensor = (mean - reference.mean).square().sum(-1) + traces - 2 * roots.sum(-1)
        return found


def fitted(samples: Tensor) -> Fitted:
    """Return the sums of samples (…, n, d)."""
    n = torch.full(samples.shape[:-2], float(samples.shape[-2]), dtype=torch.float64)
    return Fitted(n, samples.sum(-2), samples.mT @ samples)


def replicated(samples: Tensor, deletions: Deletions) -> Fitted:
    """Return the sums of samples (R, n, d), first of all, then without each of `deletions`: (R, 1 + replicates, …)."""
    parts = [fitted(samples[:, rows]) for rows in deletions.blocks]
    kept = torch.cat([torch.ones(1, len(parts), dtype=torch.float64), deletions.kept])
    columns = (torch.stack(column, 1) for column in zip(*parts, strict=True))
    return Fitted(*(torch.einsum("sk,rk...->rs...", kept, column) for column in columns))


def extrapolated(draw: Draw, seeds: range) -> list[Measured]:
    """`infinite_distance` of each seed, by the same sums; the order of the samples is chance already."""
    d = draw.d
    exact = Statistics(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64), None)
    samples, deletions = torch.stack([draw(seed) for seed in seeds]), Deletions(blocks(draw.n, 0))
    means = [
        torch.stack([fitted(some).distances(exact) for some in samples.tensor_split(k, dim=1)]).mean(0) for k in PARTS
    ]
    found: list[Measured] = []
    for number, distances in enumerate(replicated(samples, deletions).distances(exact)):
        error = standard_error_from_replicates(distances[1 : 1 + len(deletions.blocks)])
        found.append((intercept(PARTS, [float(mean[number]) for mean in means]), error))
    return found


def plain(draw: Draw, seeds: range) -> list[Measured]:
    """The distance by the same sums, and its error by the plain jackknife."""
    return [with_plain_error(one) for one in changes_of(draw, seeds, Tensor.double)]


def between_protocols(draw: Draw, seeds: range) -> list[Measured]:
    """The difference between two protocols: features as they are, and mixed with their neighbours and clipped."""

    def other(features: Tensor) -> Tensor:
        return (0.9 * features + 0.1 * features.roll(1, -1)).clamp(-2, 2)

    both = zip(changes_of(draw, seeds, Tensor.double), changes_of(draw, seeds, other), strict=True)
    return [with_plain_error(there - here) for here, there in both]


def changes_of(draw: Draw, seeds: range, convert: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the distances of all samples, then without each block, (repetitions, 1 + blocks)."""
    samples, deletions = torch.stack([draw(seed) for seed in seeds]), Deletions(blocks(draw.n, 0))
    without_pairs = [sums[:, : 1 + len(deletions.blocks)] for sums in replicated(convert(samples), deletions)]
    return Fitted(*without_pairs).distances(statistics(convert(training_images(draw.d))))


def with_plain_error(distances: Tensor) -> Measured:
    return float(distances[0]), standard_error_from_replicates(distances[1:])


def kernel(draw: Draw, seed: int) -> Measured:
    train, own_pairs = unit_training_images(draw.d)
    found = discrepancy(unit_length(draw(seed)), train, blocks(draw.n, seed), own_pairs)
    return found.biased, found.standard_error


@functools.cache
def unit_training_images(d: int) -> tuple[Tensor, float]:
    """Return training images of length 1, and the mean of the kernel over pairs of them."""
    train = unit_length(training_images(d))
    return train, mean_of_pairs(train, kernel_of_unit_vectors)


def diversity(draw: Draw, order: float, mean: float, decay: float, seeds: range) -> list[Measured]:
    """`scores`, by the same sums: of directions around a common one, and of unequal spread; or all alike.

    If all are alike the score is of second order.
    """
    samples, deletions = torch.stack([draw(seed) for seed in seeds]), Deletions(blocks(draw.n, 0))
    samples = samples * torch.linspace(1, 1 - decay, draw.d, dtype=torch.float64) + mean
    sums = replicated(samples / torch.linalg.vector_norm(samples, dim=2, keepdim=True), deletions)
    spectra = torch.linalg.eigvalsh(sums.products) / sums.n[..., None]
    found: list[Measured] = []
    for one in spectra:
        value, *others = (vendi_score(spectrum, order) for spectrum in one)
        found.append((value, deletions.standard_error(value, torch.tensor(others, dtype=torch.float64))))
    return found


def variation(draw: Draw, which: str, seed: int) -> Measured:
    found, error = spread(draw(seed) * torch.linspace(0.5, 2, draw.d, dtype=torch.float64), blocks(draw.n, seed))
    return getattr(found, which), getattr(error, which)


def rare(draw: Draw, outside: bool, seed: int) -> Measured:
    found = rarity(training_images(draw.d), draw(seed), nearest(draw.d))
    within = found.isfinite()
    return mean_and_standard_error((~within).double() if outside else found[within])


@functools.cache
def nearest(d: int) -> Tensor:
    return radii(training_images(d), K)


def likelihood(draw: Draw, seed: int) -> Measured:
    """`fld` with other samples and held-out images each time, and the same training images."""
    m, n = draw.n, 150
    test, x = normal(n, seed + 2_000_000, draw.d), draw(seed)
    scale = scaling(test)
    train = scale(training_images(draw.d, 250))
    deletions = Deletions(blocks(m, seed))
    found = Mixture(scale(x), fit(scale(x), train)).likelihoods(scale(test), deletions)
    base, _ = baseline_of(train, scale(test), m)
    above = Likelihoods(found.each - base, found.without - base[:, None])
    return mean_and_error(above, deletions, blocks(n, seed))


def per_class(draw: Draw, seeds: range) -> list[Measured]:
    """The mean over two classes of the distance that `distance_variance` is about, by the same sums."""
    reference, deletions = statistics(training_images(draw.d)), Deletions(blocks(draw.n, 0))
    classes = [
        replicated(torch.stack([draw(2 * seed + number) for seed in seeds]), deletions).distances(reference)
        for number in range(2)
    ]
    found: list[Measured] = []
    for both in zip(*classes, strict=True):
        variances = [deletions.variance(float(one[0]), one[1:]) for one in both]
        value = sum(float(one[0]) for one in both) / 2
        found.append((value, error_of_mean([one for one in variances if one is not None])))
    return found


def quantile(share: float, seed: int) -> Measured:
    values = torch.empty(400).exponential_(generator=torch.Generator().manual_seed(seed))
    return quantile_and_standard_error(values, share)


def accuracy(seed: int) -> Measured:
    """Classifiers whose accuracy differs with sd 0.02, on held-out images that differ in difficulty."""
    rng = torch.Generator().manual_seed(seed)
    p = (0.7 + 0.02 * torch.randn(3, 1, generator=rng) + 0.2 * torch.randn(1, 400, generator=rng)).clamp(0, 1)
    return accuracy_and_error(torch.rand(3, 400, generator=rng) < p)


if __name__ == "__main__":
    main()
