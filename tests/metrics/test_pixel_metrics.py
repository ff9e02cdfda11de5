"""Reconstruction error, PSNR and diversity against closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.mstats import hdquantiles
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.metrics import diversity
from genbench.metrics.diversity import collapsed, pixel_diversity
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.reconstruction import (
    measure_errors,
    measure_ms_ssim,
    measure_mse,
    measure_psnr,
    peak_signal_to_noise_ratio,
)


def noise(n: int, *shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, *(shape or (1, 4, 4))), generator=rng, dtype=torch.uint8)


def evaluation(**sets: Any) -> CellEvaluation:
    images = {name: Images(sets.pop(name, noise(10))) for name in ("samples", "train", "test")}
    settings: dict[str, Any] = {**images, **sets, "device": torch.device("cpu"), "extractors": {}}
    return CellEvaluation(**settings)


def estimate(found: Estimate | Unavailable) -> Estimate:
    assert isinstance(found, Estimate), found
    return found


# Reconstruction


@pytest.mark.parametrize(("offset", "decibel"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_a_constant_offset_has_a_known_error_and_ratio(offset: float, decibel: float) -> None:
    originals = torch.zeros(3, 1, 2, 2)
    given = evaluation(reconstructions=(originals, originals + offset))
    assert estimate(measure_mse(given)).value == pytest.approx(offset**2, rel=1e-6)
    assert estimate(measure_psnr(given)).value == pytest.approx(decibel, abs=1e-5)


def test_a_perfect_reconstruction_is_capped_and_finite() -> None:
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    given = evaluation(reconstructions=(images, images))
    assert estimate(measure_mse(given)).value == 0
    assert estimate(measure_psnr(given)).value == pytest.approx(100)


def test_rounding_to_8_bits_leaves_59_decibel() -> None:
    errors = torch.tensor([1 / 12 / 255**2]).double()  # variance of a uniform error of one level
    assert float(peak_signal_to_noise_ratio(errors)) == pytest.approx(58.92, abs=0.01)


def test_mean_over_images_and_its_error() -> None:
    originals = torch.zeros(2, 1, 1, 1)
    given = evaluation(reconstructions=(originals, torch.tensor([0.1, 0.3]).view(2, 1, 1, 1)))
    error, ratio = estimate(measure_mse(given)), estimate(measure_psnr(given))
    assert error.value == pytest.approx((0.01 + 0.09) / 2, rel=1e-6)
    assert error.standard_error == pytest.approx(0.08 / 2, rel=1e-6)  # half the gap, for two images
    assert ratio.value == pytest.approx((20 - 20 * math.log10(0.3)) / 2, rel=1e-6)
    assert (error.n, error.direction, ratio.direction) == (2, "lower", "higher")


@given(seed=st.integers(0, 2**31), n=st.integers(1, 8))
@settings(deadline=None)
def test_mean_ratio_is_never_below_the_ratio_of_the_mean(seed: int, n: int) -> None:
    errors = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert peak_signal_to_noise_ratio(errors).mean() >= peak_signal_to_noise_ratio(errors.mean()) - 1e-9


def test_a_single_image_has_no_standard_error() -> None:
    images = torch.zeros(1, 1, 2, 2)
    assert estimate(measure_psnr(evaluation(reconstructions=(images, images)))).standard_error is None


def smooth(n: int, side: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, side // 8, side // 8, generator=rng)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_ms_ssim_of_five_scales_is_torchmetrics(channels: int) -> None:
    """Except that theirs includes a reflected border on the coarsest scale, and averages channels on each scale."""
    image = pytest.importorskip("torchmetrics.functional.image")
    originals = smooth(3, 184)[:, :channels]
    reconstructions = (
        originals + 0.1 * torch.randn(originals.shape, generator=torch.Generator().manual_seed(1))
    ).clamp(0, 1)
    (found,) = measure_ms_ssim(evaluation(reconstructions=(originals, reconstructions)))
    theirs = [
        float(image.multiscale_structural_similarity_index_measure(a[None], b[None], data_range=1.0))
        for a, b in zip(originals.double(), reconstructions.double(), strict=True)
    ]
    assert isinstance(found, Estimate)
    assert found.metric == "reconstruction-ms-ssim"
    assert found.value == pytest.approx(sum(theirs) / 3, rel=1e-3)


@pytest.mark.parametrize(
    ("side", "name"),
    [(176, ""), (175, "-4-scales"), (64, "-3-scales"), (28, "-2-scales"), (12, "-1-scale")],
)
def test_ms_ssim_of_fewer_scales_says_so_in_its_name(side: int, name: str) -> None:
    images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    (found,) = measure_ms_ssim(evaluation(reconstructions=(images, images)))
    assert isinstance(found, Estimate)
    assert found.metric == f"reconstruction-ms-ssim{name}"
    assert found.value == pytest.approx(1)


def test_ms_ssim_of_images_under_the_window_has_a_reason() -> None:
    images = torch.zeros(2, 1, 8, 8)
    for pairs, reason in (((images, images), "smaller than the window"), (None, "does not reconstruct")):
        (found,) = measure_ms_ssim(evaluation(reconstructions=pairs))
        assert isinstance(found, Unavailable)
        assert reason in found.reason


def test_the_quantiles_show_the_images_that_a_mean_hides() -> None:
    """Of 1,000 images, 960 with error 0.01² … and 40 that are not reconstructed."""
    originals = torch.zeros(1000, 1, 2, 2)
    reconstructions = (torch.arange(1000) / 1e4).view(-1, 1, 1, 1).expand_as(originals).clone()
    reconstructions[960:] = 1
    found = {one.metric: one for one in measure_errors(evaluation(reconstructions=(originals, reconstructions)))}
    assert list(found) == [f"reconstruction-error-{percent}" for percent in (5, 50, 95, 99)]
    values = [one.value for one in found.values() if isinstance(one, Estimate)]
    errors = (reconstructions - originals).double().square().mean((1, 2, 3)).numpy()
    assert values == pytest.approx(hdquantiles(errors, [0.05, 0.5, 0.95, 0.99]).tolist(), rel=1e-4)
    assert values[1] == pytest.approx(499e-4**2, rel=0.01)
    assert values[3] == pytest.approx(1)
    (missing,) = measure_errors(evaluation())
    assert isinstance(missing, Unavailable)


def test_models_that_do_not_reconstruct_have_none_and_shapes_must_agree() -> None:
    assert isinstance(measure_psnr(evaluation()), Unavailable)
    assert isinstance(measure_mse(evaluation()), Unavailable)
    with pytest.raises(ValueError, match="shapes must agree"):
        measure_psnr(evaluation(reconstructions=(torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 3))))


# Diversity


def test_copies_of_one_image_score_zero_and_the_data_one() -> None:
    train = noise(64)
    copies = train[:1].expand(50, -1, -1, -1)
    same = estimate(diversity.measure(evaluation(samples=copies, train=train)))
    data = estimate(diversity.measure(evaluation(samples=train, train=train)))
    assert (same.value, same.standard_error) == (0.0, 0.0)
    assert data.value == pytest.approx(1, rel=1e-12)
    assert collapsed(copies, train)
    assert not collapsed(train, train)


def test_black_and_white_halves_have_the_standard_deviation_of_a_coin() -> None:
    pixels = torch.tensor([0, 255] * 10, dtype=torch.uint8).view(20, 1, 1, 1)
    assert pixel_diversity(pixels) == pytest.approx(math.sqrt(0.25 * 20 / 19), rel=1e-12)


def test_sums_of_many_white_images_lose_nothing() -> None:
    """One grey level among 1,000 white images: x̄ = 255 - 1/n, so that s² = 1/n exactly."""
    pixels = torch.full((1000, 1, 1, 1), 255, dtype=torch.uint8)
    assert pixel_diversity(pixels) == 0
    pixels[500] = 254
    assert pixel_diversity(pixels) == pytest.approx(math.sqrt(1 / 1000) / 255, rel=1e-12)


@given(n=st.integers(2, 30), seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_integer_sums_agree_with_the_definition(n: int, seed: int) -> None:
    pixels = noise(n, 3, 2, 5, seed=seed)
    assert pixel_diversity(pixels) == pytest.approx(float((pixels.double() / 255).std(0).mean()), rel=1e-12)


def test_halving_the_contrast_halves_the_diversity() -> None:
    train = noise(200) // 2 * 2
    found = estimate(diversity.measure(evaluation(samples=train // 2, train=train)))
    assert found.value == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize(("spread", "expected"), [(11, False), (9, True)])  # grey levels; the data's is 100
def test_collapse_begins_at_a_tenth_of_the_spread(spread: int, expected: bool) -> None:
    train = torch.tensor([0, 200], dtype=torch.uint8).repeat(50).view(100, 1, 1, 1)
    samples = torch.tensor([100 - spread, 100 + spread], dtype=torch.uint8).repeat(50).view(100, 1, 1, 1)
    assert collapsed(samples, train) is expected


def test_an_undecidable_case_is_not_collapsed() -> None:
    flat = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    assert not collapsed(noise(1), noise(10))
    assert not collapsed(flat, flat)
    assert isinstance(diversity.measure(evaluation(samples=noise(1))), Unavailable)
    assert isinstance(diversity.measure(evaluation(train=flat, samples=flat)), Unavailable)


def test_the_standard_error_is_the_spread_over_repetitions() -> None:
    train, found = noise(500), []
    for seed in range(60):
        samples = noise(60, seed=seed + 1) // 2
        found.append(estimate(diversity.measure(evaluation(samples=samples, train=train, seed=seed))))
    values = torch.tensor([e.value for e in found])
    errors = torch.tensor([e.standard_error for e in found])
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.35)
