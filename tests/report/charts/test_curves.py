"""Curves of training: their kinds, their axes, and their means over seeds."""

from __future__ import annotations

import math

import pytest
from example_runs import cell, estimate
from hypothesis import given
from hypothesis import strategies as st

from genbench.report.charts.curves import Curve, curves_of, kind_of, mean_curve
from genbench.results.schema import CurvePoint, EvaluationPoint, Window


@pytest.mark.parametrize(
    ("term", "caption"),
    [
        ("discriminator", "loss terms"),
        ("generator.weighted_total", "loss terms"),
        ("autoencoder.kl", "loss terms"),
        ("discriminator.penalty", "loss terms"),
        ("discriminator.real_logit", "logits of the discriminator"),
        ("discriminator.margin", "logits of the discriminator"),
        ("discriminator.accuracy_fake", "discriminator accuracy, and augmentation probability"),
        ("discriminator.augment_probability", "discriminator accuracy, and augmentation probability"),
        ("gradient_norm.generator", "gradient norm of each network"),
        ("diversity", "diversity of samples relative to the data"),
    ],
)
def test_a_term_has_its_kind(term: str, caption: str) -> None:
    assert kind_of(term) == caption


def test_a_curve_has_its_place_on_every_axis() -> None:
    result = cell(
        windows=[Window(step=step, steps=10, images=320, seconds=2.0) for step in (10, 20, 30)],
        curves=[CurvePoint(step=step, images=32 * step, terms={"loss": 1.0}) for step in (10, 15, 30)],
        evaluations=[],
        estimates=[],
    )
    curve, speed = curves_of(result)
    assert (speed.quantity, speed.values, speed.images) == ("images/s", (160, 160, 160), (320, 640, 960))
    assert (curve.quantity, curve.kind) == ("loss", "loss terms")
    assert curve.x("images") == (320, 480, 960)
    assert curve.x("steps") == (10, 15, 30)
    assert curve.x("seconds") == pytest.approx((2.0, 3.0, 6.0))


def test_metrics_during_training_have_errors_and_end_with_the_final_value() -> None:
    points = [EvaluationPoint(step=step, images=32 * step, estimates=[estimate("fd", 9.0, 0.5)]) for step in (10, 20)]
    final = cell(evaluations=points, estimates=[estimate("fd", 5.0, 0.25)], steps=30, images=960, curves=[])
    curve, _ = curves_of(final)
    assert (curve.values, curve.errors) == ((9.0, 9.0, 5.0), (0.5, 0.5, 0.25))
    same, _ = curves_of(cell(evaluations=points, estimates=[estimate("fd", 9.0, 0.5)], steps=20, images=640, curves=[]))
    assert same.images == (320, 640)


def test_what_is_not_finite_is_a_gap() -> None:
    points = [
        CurvePoint(step=n, images=n, terms={"loss": value}) for n, value in ((1, math.nan), (2, math.inf), (3, 1))
    ]
    curve, _ = curves_of(cell(curves=points, evaluations=[], estimates=[]))
    assert curve.values == (None, None, 1)


def test_the_mean_over_seeds_has_an_error_and_only_common_points() -> None:
    def curve(*points: tuple[int, float | None]) -> Curve:
        images = tuple(at for at, _ in points)
        return Curve("loss", "loss terms", images, images, tuple(map(float, images)), tuple(y for _, y in points))

    mean = mean_curve([curve((1, 1.0), (2, 2.0), (3, None)), curve((1, 3.0), (2, 2.0), (3, 1.0), (4, 1.0))])
    assert mean is not None and mean.seeds == 2
    assert mean.images == (1, 2, 3)
    assert mean.values == (2.0, 2.0, None)
    assert mean.errors == (1.0, 0.0, None)
    assert mean_curve([curve((1, 1.0), (2, 1.0))]) is None
    assert mean_curve([curve((1, 1.0), (2, 1.0)), curve((3, 1.0), (4, 1.0))]) is None


@given(st.integers(1, 500), st.integers(2, 60))
def test_thinning_keeps_the_ends(length: int, most: int) -> None:
    axis = tuple(range(length))
    thinned = Curve("loss", "loss terms", axis, axis, axis, axis, axis).thinned(most)
    assert len(thinned.images) == min(length, most) == len(thinned.values) == len(thinned.errors)
    assert (thinned.images[0], thinned.images[-1]) == (0, length - 1)
