"""SSIM and multi-scale SSIM against closed forms, the definition written out, and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.metrics import ms_ssim as diversity_of_pairs
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.reconstruction import measure_ssim
from genbench.metrics.structural_similarity import WEIGHTS, ms_ssim, scale_weights, ssim

seeds = st.integers(0, 2**31)


def images(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def levels(n: int, side: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (n, 1, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def evaluation(
    samples: Tensor, train: Tensor | None = None, pairs: tuple[Tensor, Tensor] | None = None
) -> CellEvaluation:
    train = levels(10, 28) if train is None else train
    return CellEvaluation(
        samples=Images(samples),
        train=Images(train),
        test=Images(train),
        reconstructions=pairs,
        device=torch.device("cpu"),
        extractors={},
    )


def written_out(a: np.ndarray, b: np.ndarray) -> float:
    """The definition, window by window, of two grey images."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for top in range(a.shape[0] - 10):
        for left in range(a.shape[1] - 10):
            x, y = (image[top : top + 11, left : left + 11] for image in (a, b))
            mean_x, mean_y = (window * x).sum(), (window * y).sum()
            var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
            covariance = (window * (x - mean_x) * (y - mean_y)).sum()
            luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
            found.append(luminance * (2 * covariance + 9e-4) / (var_x + var_y + 9e-4))
    return float(np.mean(found))


# One scale


@given(seed=seeds, height=st.integers(11, 16), width=st.integers(11, 16))
@settings(deadline=None, max_examples=15)
def test_it_is_the_definition_window_by_window(seed: int, height: int, width: int) -> None:
    a, b = images(1, 1, height, width, seed=seed), images(1, 1, height, width, seed=seed + 1)
    b = (a + b) / 2
    expected = written_out(a[0, 0].double().numpy(), b[0, 0].double().numpy())
    assert float(ssim(a, b)) == pytest.approx(expected, rel=1e-9)


@given(seed=seeds)
@settings(deadline=None, max_examples=15)
def test_an_image_is_identical_to_itself_and_pairs_may_be_swapped(seed: int) -> None:
    a, b = images(3, 2, 12, 15, seed=seed), images(3, 2, 12, 15, seed=seed + 1)
    assert ssim(a, a).tolist() == [1, 1, 1]
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    torch.testing.assert_close(ssim(a.flip(3), b.flip(3)), ssim(a, b))
    assert bool((ssim(a, b) < 1).all())


def test_flat_images_differ_in_luminance_alone() -> None:
    a, b = torch.full((1, 1, 11, 11), 0.5), torch.full((1, 1, 11, 11), 0.25)
    assert float(ssim(a, b)) == pytest.approx((2 * 0.125 + 1e-4) / (0.25 + 0.0625 + 1e-4), rel=1e-9)


def test_a_negative_has_a_negative_similarity() -> None:
    a = images(1, 1, 30, 30)
    assert float(ssim(a, 1 - a)) < -0.9


def test_the_range_of_values_is_one_and_not_what_a_batch_spans() -> None:
    a, b = images(2, 1, 16, 16), images(2, 1, 16, 16, seed=1)
    faint = (0.1 * a[:1], 0.1 * b[:1])
    beside_bright = ssim(torch.cat([faint[0], a[1:]]), torch.cat([faint[1], b[1:]]))
    assert float(ssim(*faint)) == pytest.approx(float(beside_bright[0]), rel=1e-12)
    assert float(ssim(*faint)) > float(ssim(a[:1], b[:1]))


def test_the_mean_over_held_out_images_has_its_error() -> None:
    originals = images(40, 1, 12, 12)
    again = (originals + 0.2 * images(40, 1, 12, 12, seed=1)).clamp(0, 1)
    found = measure_ssim(evaluation(levels(1, 12), pairs=(originals, again)))
    assert isinstance(found, Estimate)
    each = [written_out(a[0].double().numpy(), b[0].double().numpy()) for a, b in zip(originals, again, strict=True)]
    assert found.value == pytest.approx(np.mean(each), rel=1e-9)
    assert found.standard_error == pytest.approx(np.std(each, ddof=1) / math.sqrt(40), rel=1e-9)
    assert (found.n, found.direction, found.protocol["data_range"]) == (40, "higher", 1.0)


def test_incomparable_images_give_the_reason() -> None:
    small = images(2, 1, 10, 30)
    for found, reason in (
        (measure_ssim(evaluation(levels(1, 12))), "does not reconstruct"),
        (measure_ssim(evaluation(levels(1, 12), pairs=(small, small))), "smaller than the window of 11"),
        (measure_ssim(evaluation(levels(1, 12), pairs=(small, small[:1]))), "shapes must agree"),
        (diversity_of_pairs.measure(evaluation(levels(9, 8))), "8×8 pixels are smaller"),
        (diversity_of_pairs.measure(evaluation(levels(1, 28))), "two samples"),
    ):
        assert isinstance(found, Unavailable)
        assert reason in found.reason


# Several scales


@pytest.mark.parametrize(
    ("side", "scales"), [(10, 0), (11, 1), (28, 2), (32, 2), (64, 3), (128, 4), (176, 5), (512, 5)]
)
def test_as_many_scales_as_fit_with_weights_that_sum_to_one(side: int, scales: int) -> None:
    weights = scale_weights(side, 2 * side)
    assert len(weights) == scales
    if scales:
        assert sum(weights) == pytest.approx(1, rel=1e-12)
        assert weights[-1] / weights[0] == pytest.approx(WEIGHTS[scales - 1] / WEIGHTS[0], rel=1e-12)


def test_one_scale_is_ssim_and_equals_are_one_on_all() -> None:
    a, b = images(3, 3, 48, 48), images(3, 3, 48, 48, seed=1)
    mixed = 0.7 * a + 0.3 * b
    torch.testing.assert_close(ms_ssim(a, mixed, (1.0,)), ssim(a, mixed))
    assert ms_ssim(a, a, scale_weights(48, 48)).tolist() == pytest.approx([1, 1, 1], rel=1e-12)
    assert ms_ssim(a, 1 - a, (1.0,)).tolist() == [0, 0, 0]  # negative: counts as none


def test_flat_images_of_any_number_of_scales_keep_the_luminance_of_the_coarsest() -> None:
    a, b = torch.full((1, 1, 64, 64), 0.5), torch.full((1, 1, 64, 64), 0.25)
    weights = scale_weights(64, 64)
    assert float(ms_ssim(a, b, weights)) == pytest.approx(float(ssim(a, b)) ** weights[-1], rel=1e-9)


def test_repetition_scores_one_and_the_data_as_samples_what_the_null_says() -> None:
    train = levels(200, 28)
    same = diversity_of_pairs.measure(evaluation(train[:1].expand(60, -1, -1, -1), train))
    data = diversity_of_pairs.measure(evaluation(train, train))
    assert isinstance(same, Estimate)
    assert isinstance(data, Estimate)
    assert same.value == pytest.approx(1, rel=1e-12)
    assert (same.n, data.n, data.direction, data.protocol["scales"]) == (60, 200, "lower", 2)
    assert data.null is not None
    assert data.standard_error is not None
    assert abs(data.value - data.null) < 5 * data.standard_error
    assert same.null == data.null < 0.2
