"""Certificates: an extractor that responds to corruption passes, one that does not fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.api.evaluation import Estimate
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.errors import DataError
from genbench.gate.extractor_certificate import (
    Certificate,
    CorruptionSeries,
    Level,
    Monotonicity,
)
from genbench.metrics.certification.certificate import certify
from genbench.metrics.certification.corruptions import (
    CORRUPTIONS,
    Corruption,
    add_noise,
    blur,
    class_counts,
    salt_and_pepper,
)
from genbench.metrics.evaluation import CellEvaluation
from genbench.report.certificate import certificate_text
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.kinds import figure_of_certificate
from genbench.report.figures.options import Options

CPU = torch.device("cpu")
SIZE = 24


class Features:
    """An extractor made of a function of images in [0, 1], (N, 1, H, W), to (N, d)."""

    name = "fd-made"
    whiten = True
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "made"})

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.function(pixels.float() / 255)


def pictures(n: int, seed: int) -> Images:
    """Smooth blobs of four classes: one in each quarter of the image."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    places = torch.arange(SIZE).view(1, -1) + 0.5
    centres = torch.stack([labels // 2, labels % 2]).view(2, n, 1) * 12 + 6 + torch.randn(2, n, 1, generator=rng)
    along = torch.exp(-(places - centres).square() / 4)
    pixels = (150 + 30 * torch.randn(n, 1, 1, generator=rng)) * along[0].unsqueeze(2) * along[1].unsqueeze(1)
    return Images(pixels.clamp(0, 255).round().to(torch.uint8).unsqueeze(1), labels)


def certified(function: Callable[[Tensor], Tensor], samples: int = 200, labelled: bool = True) -> Certificate:
    train, test = pictures(400, 0), pictures(samples, 1)
    evaluation = CellEvaluation(
        samples=test if labelled else Images(test.pixels),
        train=train,
        test=test,
        device=CPU,
        extractors={"made": ExtractorSpec(name="made", load=lambda device: Features(function))},
    )
    return certify(evaluation, "made", "blobs", "abc", lambda what: None)


def seeing(images: Tensor) -> Tensor:
    """Where the light is, and how much neighbours differ."""
    grain = sum(images.diff(dim=side).square().mean((1, 2, 3)) for side in (2, 3))
    parts = images.unflatten(2, (4, 6)).unflatten(4, (4, 6)).mean((3, 5)).flatten(1)
    return torch.cat([parts, grain.sqrt().unsqueeze(1)], 1)


def quarters(images: Tensor) -> Tensor:
    """How the light in a quarter compares with the rest: neither noise nor blur changes it much."""
    return images.unflatten(2, (2, 12)).unflatten(4, (2, 12)).mean((3, 5)).flatten(1)


def shrinking(images: Tensor) -> Tensor:
    """Features that are pulled to the mean of the training images as soon as there is grain."""
    grain = images.diff(dim=3).abs().mean((1, 2, 3)).view(-1, 1)
    return quarters(images) * 5 + 20 * torch.exp(-60 * (grain - 0.03).clamp_min(0))


def random_constants(images: Tensor) -> Tensor:
    return torch.randn(len(images), 5, generator=torch.Generator().manual_seed(len(images)))


# Whole certificates


def test_a_sensitive_extractor_is_monotone_and_its_floor_is_the_metric_itself() -> None:
    found = certified(seeing)
    verdicts = {ladder.name: ladder.verdict for ladder in found.ladders}
    assert verdicts["noise"] == verdicts["blur"] == verdicts["dropped classes"] == Monotonicity.MONOTONE
    for ladder in found.ladders:
        first = ladder.rungs[0]
        assert (first.severity, first.n, first.step) == (0, 200, None)
        assert first.value == pytest.approx(found.floor.debiased)
        assert first.standard_error == pytest.approx(found.floor.standard_error)
        assert all(higher.step == pytest.approx(higher.value - lower.value) for lower, higher in pairwise(ladder.rungs))
    assert [rung.n for rung in found.ladders[-1].rungs] == [200, 150, 100, 50]


def test_features_independent_of_the_image_do_not_pass() -> None:
    assert certified(random_constants).verdict != Monotonicity.MONOTONE


def test_a_falling_series_is_not_monotone() -> None:
    noise = next(ladder for ladder in certified(shrinking).ladders if ladder.name == "noise")
    falls = [rung for rung in noise.rungs if rung.step is not None and rung.step < 0]
    assert noise.verdict == Monotonicity.NOT_MONOTONE, noise
    assert falls


def test_without_labels_no_classes_are_dropped_and_a_note_says_so() -> None:
    found = certified(seeing, labelled=False)
    assert [ladder.name for ladder in found.ladders] == [corruption.name for corruption in CORRUPTIONS]
    assert "no labels" in found.notes[0]
    assert "no labels" in certificate_text(found)


def test_too_few_held_out_images_are_rejected() -> None:
    with pytest.raises(DataError, match="39 held-out images; a certificate needs 40"):
        certified(seeing, samples=39)


def test_text_and_figure_show_every_level_and_verdict() -> None:
    found = certified(seeing)
    text = certificate_text(found)
    figure = figure_of_certificate(found, Options(), make_appearance())
    drawn = figure.to_bytes("svg").decode()
    assert text.endswith(f"verdict: {found.verdict}\n")
    for ladder in found.ladders:
        assert f"{ladder.name} ({ladder.unit}): {ladder.verdict}" in text
        assert drawn.count(f"<!-- {ladder.name} -->") == 1
        assert f"{ladder.name} ({ladder.unit}), {ladder.verdict}: " in figure.caption
    assert f": {found.verdict}" in figure.caption.splitlines()[2]


# Verdicts


def series(*steps: tuple[float, float]) -> CorruptionSeries:
    levels = [Level(0, 1.0, 0.1, 100)]
    for severity, (step, error) in enumerate(steps, 1):
        levels.append(Level(severity, levels[-1].value + step, 0.1, 100, step, error))
    return CorruptionSeries("made", "steps", tuple(levels))


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ([(1.0, 0.1), (0.21, 0.1)], Monotonicity.MONOTONE),
        ([(1.0, 0.1), (0.19, 0.1)], Monotonicity.UNDECIDED),
        ([(1.0, 0.1), (-0.19, 0.1)], Monotonicity.UNDECIDED),
        ([(1.0, 0.1), (-0.21, 0.1), (5.0, 0.1)], Monotonicity.NOT_MONOTONE),
        ([(0.0, 0.0)], Monotonicity.UNDECIDED),
        ([(math.nan, 0.1)], Monotonicity.UNDECIDED),
        ([], Monotonicity.UNDECIDED),
    ],
)
def test_a_step_counts_if_it_exceeds_two_standard_errors(
    steps: list[tuple[float, float]], verdict: Monotonicity
) -> None:
    assert series(*steps).verdict == verdict


def test_a_certificate_is_as_good_as_its_worst_series() -> None:
    floor = Estimate("fd-made", 1.0, 0.1, 100, "lower")
    good, unsure, bad = series((1.0, 0.1)), series((0.1, 0.1)), series((-1.0, 0.1))
    for ladders, verdict in (
        ((good,), Monotonicity.MONOTONE),
        ((good, unsure), Monotonicity.UNDECIDED),
        ((bad, unsure, good), Monotonicity.NOT_MONOTONE),
        ((), Monotonicity.UNDECIDED),
    ):
        assert Certificate("made", "blobs", "abc", floor, ladders).verdict == verdict


# Corruptions


def flat(level: int, *shape: int) -> Tensor:
    return torch.full(shape, level, dtype=torch.uint8)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_every_corruption_moves_pixels_further_the_more_severe_it_is(corruption: Corruption) -> None:
    pixels = torch.as_tensor(pictures(300, 0).pixels)  # more than are spoilt at a time
    distances = []
    for severity in (0.0, *corruption.severities):
        spoilt = corruption(pixels, severity, rng())
        assert (spoilt.shape, spoilt.dtype) == (pixels.shape, torch.uint8)
        distances.append(float((spoilt.float() - pixels.float()).square().mean()))
    assert distances[0] == 0
    assert all(lower < higher for lower, higher in pairwise(distances))


def test_noise_has_the_requested_deviation_and_the_same_draws_at_every_level() -> None:
    grey = flat(128, 20, 1, 32, 32)
    quiet, loud = (add_noise(grey, deviation, rng()).float() - 128 for deviation in (0.05, 0.1))
    assert float(loud.std()) == pytest.approx(25.5, rel=0.03)
    torch.testing.assert_close(loud, 2 * quiet, rtol=0, atol=1.5)  # up to rounding


def test_blur_spreads_a_point_by_its_deviation_and_leaves_flat_images_and_channels_alone() -> None:
    assert torch.equal(blur(flat(77, 2, 3, 20, 24), 0.1, rng()), flat(77, 2, 3, 20, 24))
    line = torch.zeros(1, 3, 51, 51, dtype=torch.uint8)
    line[:, 1, 25] = 255
    spread = blur(line, 2 / 51, rng())[0, :, :, 25].double()
    assert spread[0].sum() == spread[2].sum() == 0
    places = torch.arange(51) - 25.0
    assert float((spread[1] * places.square()).sum() / spread[1].sum()) == pytest.approx(4, rel=0.05)


@given(share=st.floats(0.01, 1))
def test_salt_and_pepper_affect_the_requested_share_of_pixels_in_all_channels(share: float) -> None:
    spoilt = salt_and_pepper(flat(100, 4, 3, 40, 40), share, rng())
    assert torch.equal(spoilt[:, 0], spoilt[:, 2])
    for level in (0, 255):
        assert float((spoilt[:, 0] == level).double().mean()) == pytest.approx(share / 2, abs=0.03)


@given(classes=st.integers(1, 2000))
def test_classes_are_dropped_from_one_to_all_but_one(classes: int) -> None:
    counts = class_counts(classes)
    assert counts == sorted(set(counts))
    assert len(counts) == min(classes - 1, 9)
    assert not counts or counts[-1] == classes - 1
