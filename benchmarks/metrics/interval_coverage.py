"""Coverage of the intervals from the standard errors of metrics, by simulation.

    python benchmarks/metrics/interval_coverage.py --out results/reference/metric-interval-coverage.json

Each case draws samples again and again beside the same training images, measures them with the functions behind the
metrics, and counts how many 95 % intervals hold the truth: the known distance where there is one, otherwise the mean
over all draws, since these values are defined for a number of samples. An interval is the value ± t times its standard
error, with t of 19 degrees of freedom for the jackknife over 20 blocks (2.093), and 1.96 for the others. With 2,000
repetitions the standard error of a share of 95 % is 0.5 %.

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

import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.metrics.feature_scores.feature_likelihood import (
    Likelihoods,
    Mixture,
    baseline_of,
    fit,
    mean_and_error,
    scaling,
)
from genbench.metrics.feature_scores.frechet_infinity import infinite_distance
from genbench.metrics.feature_scores.mean_discrepancy import discrepancy
from genbench.metrics.feature_scores.rarity import K, rarity
from genbench.metrics.feature_scores.spread import spread
from genbench.metrics.feature_scores.vendi import scores
from genbench.metrics.feature_sets import unit_length
from genbench.metrics.frechet import distance_variance, frechet_distance, statistics
from genbench.metrics.manifolds import radii
from genbench.metrics.networks.classification_accuracy import accuracy_and_error
from genbench.metrics.standard_errors import (
    Deletions,
    error_of_mean,
    make_blocks,
    mean_and_standard_error,
    quantile_and_standard_error,
)

JACKKNIFE, NORMAL = 2.093, 1.96
ORDERS = (1.0, 2.0, math.inf)  # of Vendi scores
REFERENCE = 600  # training images
Measured = tuple[float, float | None]  # value and standard error


@dataclass(frozen=True)
class Case:
    """What is measured in each repetition."""

    name: str
    measure: Callable[[int], Measured]  # of a seed
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
    parser.add_argument("--only", default="", help="cases whose names begin with one of these, separated by commas")
    parser.add_argument("--out", type=Path, help="written after each case; other cases that it holds are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known: dict[str, dict[str, object]] = {}
    if arguments.out and arguments.out.is_file():
        known = {one["case"]: one for one in json.loads(arguments.out.read_text(encoding="utf-8"))["cases"]}
    everything = list(cases())
    for case in everything:
        if case.name.startswith(tuple(arguments.only.split(","))):
            known[case.name] = covered(case, arguments.repetitions)
        if arguments.out:
            found = [known[case.name] for case in everything if case.name in known]
            text = json.dumps({"nominal": 0.95, "cases": found}, indent=1)
            arguments.out.write_text(text + "\n", encoding="utf-8")


def covered(case: Case, repetitions: int) -> dict[str, object]:
    """Return and print how many intervals hold the truth."""
    start = time.process_time()
    draws = [case.measure(seed) for seed in range(repetitions)]
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
            yield Case(f"mmd, {draw.named}", part(kernel, draw))
    for draw in (*shifted(100, 8, (0.0, 0.15)), Draw("far", 100, 8, shift=0.3, scale=1.2)):
        yield Case(f"class-fd of two classes, {draw.named} each", part(per_class, draw), NORMAL)
    for n in (200, 400):
        draw = Draw("", n, 16)
        for place, order in enumerate(ORDERS):
            name = f"vendi-q{order:g}, {n} samples of 16 features"
            yield Case(f"{name}, in all directions alike", part(diversity, draw, place, 0.0, 0.0), limit=place == 2)
            yield Case(f"{name}, around a common direction", part(diversity, draw, place, 1.0, 0.5))
    for which in ("variance", "rank"):
        yield Case(f"spread, {which}, 400 samples of 6 features", part(variation, Draw("", 400, 6), which))
    for draw in (Draw("equal", 60, 6), Draw("nearby", 60, 6, 0.1), Draw("far", 60, 6, 0.3, 1.2), Draw("equal", 120, 6)):
        yield Case(f"fld, {draw.named}", part(likelihood, draw))
    for draw in (Draw("equal", 400, 6), Draw("far", 400, 6, 0.3, 1.2)):
        yield Case(f"rarity-k3, {draw.named}", part(rare, draw, False), NORMAL)
        yield Case(f"outside-k3, {draw.named}", part(rare, draw, True), NORMAL)
    for share in (0.05, 0.5, 0.95):
        truth = -math.log(1 - share)
        yield Case(f"reconstruction-error, quantile {share:g}", part(quantile, share), NORMAL, truth)
    yield Case("cas, 3 classifiers, 400 held-out images", accuracy, NORMAL)
    few = Draw("equal", 400, 6)
    yield Case(f"mmd, {few.named}", part(kernel, few), limit=True)


part = functools.partial


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


def extrapolated(draw: Draw, seed: int) -> Measured:
    d = draw.d
    exact = Statistics(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64), None)
    return infinite_distance(draw(seed), exact, blocks(draw.n, seed), seed)


def kernel(draw: Draw, seed: int) -> Measured:
    found = discrepancy(unit_length(draw(seed)), unit_length(training_images(draw.d)), blocks(draw.n, seed))
    return found.biased, found.standard_error


@functools.lru_cache(maxsize=10_000)
def diversities(draw: Draw, mean: float, decay: float, seed: int) -> list[Measured]:
    """Of directions around a common one, and of unequal spread; or all alike, where the score is of second order."""
    x = draw(seed) * torch.linspace(1, 1 - decay, draw.d, dtype=torch.float64) + mean
    return scores(unit_length(x), blocks(draw.n, seed), ORDERS)


def diversity(draw: Draw, place: int, mean: float, decay: float, seed: int) -> Measured:
    return diversities(draw, mean, decay, seed)[place]


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


def per_class(draw: Draw, seed: int) -> Measured:
    reference = statistics(training_images(draw.d))
    values, variances = [], []
    for number in range(2):
        x = draw(2 * seed + number)
        values.append(frechet_distance(statistics(x), reference))
        variances.append(distance_variance(x, reference, blocks(len(x), seed)))
    return sum(values) / 2, error_of_mean([one for one in variances if one is not None])


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
