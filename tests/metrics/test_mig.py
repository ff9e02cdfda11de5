"""The mutual information gap: known values for latents that encode factors wholly, in part, twice or not at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.api.training import Likelihood, LikelihoodBound
from genbench.metrics import mig
from genbench.metrics.evaluation import CellEvaluation

GRID = torch.cartesian_prod(torch.arange(3), torch.arange(20), torch.arange(20))  # every combination once: independent
FACTORS = {"shape": GRID[:, 0], "x": 0.3 + GRID[:, 1] / 50, "y": -GRID[:, 2] / 7}
MEANS = torch.stack([*(values.float() for values in FACTORS.values())], 1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gap(means: Tensor) -> float:
    return mig.mutual_information_gap(means, FACTORS)


def evaluation(means: Tensor, factors: dict[str, Tensor]) -> CellEvaluation:
    count = len(means)
    found = LikelihoodBound(torch.zeros(1, count), torch.zeros(count), torch.zeros(count), means)
    pixels = Images(torch.zeros(count, 1, 2, 2, dtype=torch.uint8))
    return CellEvaluation(
        samples=pixels, train=pixels, test=pixels, device=torch.device("cpu"), extractors={}, factors=factors,
        bounds=(Likelihood("bernoulli", "cross-entropy"), lambda draws, count: found),
    )  # fmt: skip


def test_one_latent_for_each_factor_has_the_whole_gap() -> None:
    assert gap(MEANS) == pytest.approx(1.0, abs=1e-12)


def test_neither_order_scale_nor_sign_of_the_latents_matters_nor_further_dead_ones() -> None:
    dead = torch.full((len(MEANS), 2), 0.7)
    turned = torch.cat([dead, MEANS[:, [2, 0, 1]] * torch.tensor([-3.0, 1e-3, 50.0]) + 9], 1)
    assert gap(turned) == pytest.approx(1.0, abs=1e-12)


def test_uninformative_latents_have_no_gap() -> None:
    assert gap(torch.zeros(len(MEANS), 4)) == 0.0
    assert gap(torch.randn(len(MEANS), 10, generator=rng())) < 0.02  # what chance leaves in 1,200 images


def test_a_factor_in_two_latents_has_no_gap() -> None:
    assert gap(torch.cat([MEANS, MEANS], 1)) == pytest.approx(0.0, abs=1e-12)
    once_and_twice = torch.cat([MEANS, MEANS[:, :1]], 1)  # of three factors one is there twice
    assert gap(once_and_twice) == pytest.approx(2 / 3, abs=1e-12)


def test_a_latent_that_encodes_half_of_a_factor_has_its_share_of_the_entropy() -> None:
    halves = {"x": torch.arange(20).repeat(60)}
    means = torch.stack([(halves["x"] >= 10).float(), torch.zeros(1200)], 1)
    assert mig.mutual_information_gap(means, halves) == pytest.approx(math.log(2) / math.log(20), abs=1e-12)


def test_the_gap_shrinks_as_latents_mix_their_factors() -> None:
    x, y = MEANS[:, 1] / MEANS[:, 1].std(), MEANS[:, 2] / MEANS[:, 2].std()
    factors = {name: FACTORS[name] for name in ("x", "y")}
    gaps = []
    for angle in (0.0, 0.1, 0.2, 0.4, math.pi / 4):
        turned = torch.stack([x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)], 1)
        gaps.append(mig.mutual_information_gap(turned, factors))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == pytest.approx(1.0)
    assert gaps[-1] < 0.05


def test_bins_are_equal_and_include_the_ends() -> None:
    values = torch.tensor([[0.0, 0.049, 0.051, 0.5, 0.999, 1.0], [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]])
    assert mig.equal_bins(values).tolist() == [[0, 0, 1, 10, 19, 19], [0] * 6]


def test_whole_numbers_are_classes_as_they_are() -> None:
    assert mig.as_classes(torch.tensor([7, -1, 1000, 7])).tolist() == [1, 0, 2, 1]


def test_the_estimate_has_an_error_and_says_which_factors() -> None:
    noisy = MEANS + 0.3 * MEANS.std(0) * torch.randn(MEANS.shape, generator=rng())
    found = mig.measure(evaluation(noisy, FACTORS))
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(gap(noisy))
    assert found.standard_error is not None
    assert 0 < found.standard_error < 0.05
    assert (found.n, found.direction, found.protocol["factors"]) == (1200, "higher", "shape, x, y")


def test_the_error_is_that_of_leaving_blocks_of_images_out() -> None:
    noisy = MEANS + 0.3 * MEANS.std(0) * torch.randn(MEANS.shape, generator=rng())
    noisy[0], noisy[1] = MEANS.amin(0) - 9, MEANS.amax(0) + 9  # hold the bins where they are
    factors = {"shape": FACTORS["shape"]}
    block = torch.arange(100, 160)
    kept = torch.ones(len(noisy), dtype=torch.bool)
    kept[block] = False
    _, (without,) = mig.gaps_without(noisy, factors, [block])
    assert float(without) == pytest.approx(
        mig.mutual_information_gap(noisy[kept], {name: values[kept] for name, values in factors.items()})
    )


@pytest.mark.parametrize(
    ("means", "factors", "reason"),
    [
        (MEANS, {}, "not known"),
        (MEANS[:, :1], FACTORS, "two latents"),
        (MEANS, {"x": torch.ones(len(MEANS))}, "factor 'x' is the same"),
    ],
)
def test_there_is_no_gap_without_factors_that_vary_and_two_latents(means: Tensor, factors: Any, reason: str) -> None:
    found = mig.measure(evaluation(means, factors))
    assert isinstance(found, Unavailable)
    assert reason in found.reason
