"""What was recorded during the training of a cell, over images, steps or seconds."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genbench.results.schema import CellResult, EvaluationPoint, Window
from genbench.stats.intervals import mean_and_error

X_AXES = {"images": "real images", "steps": "steps", "seconds": "training time (s)"}  # evaluations take no time here
LOSSES, METRICS, SPEED = "loss terms", "metrics", "speed of each window"
_KINDS = (  # the first kind with a matching prefix or suffix of the term; any other term is a loss term
    (
        "discriminator accuracy, and augmentation probability",
        ("accuracy_real", "accuracy_fake", "augment_probability"),
    ),
    ("logits of the discriminator", ("real_logit", "fake_logit", "margin")),
    ("energies of the discriminator, and their equilibrium", ("real_energy", "fake_energy", "convergence", "k")),
    ("gradient norm of each network", ("gradient_norm.",)),
    ("diversity of samples relative to the data", ("diversity",)),
)


@dataclass(frozen=True)
class Curve:
    """One quantity during training; all sequences have the same length."""

    quantity: str
    kind: str  # quantities of a kind share an axis
    images: tuple[int, ...]  # real images consumed
    steps: tuple[int, ...]
    seconds: tuple[float, ...]  # of training, with the warm-up and without evaluations
    values: tuple[float | None, ...]  # None where there is no finite value
    errors: tuple[float | None, ...] = ()  # standard errors, if any are known
    unit: str = ""
    seeds: int = 1  # how many trainings it is the mean of; `errors` are then those of the mean

    def x(self, axis: str) -> tuple[float, ...]:
        """Return the positions on one of `X_AXES`."""
        return {"images": self.images, "steps": self.steps, "seconds": self.seconds}[axis]

    def thinned(self, most: int) -> Curve:
        """Return the curve with at most this many points, evenly spaced, the first and the last among them."""
        if len(self.images) <= most:
            return self
        kept = sorted({round(n * (len(self.images) - 1) / (most - 1)) for n in range(most)})
        return Curve(
            self.quantity,
            self.kind,
            tuple(self.images[n] for n in kept),
            tuple(self.steps[n] for n in kept),
            tuple(self.seconds[n] for n in kept),
            tuple(self.values[n] for n in kept),
            tuple(self.errors[n] for n in kept) if self.errors else (),
            self.unit,
            self.seeds,
        )


def kind_of(term: str) -> str:
    """Return the kind to which a term belongs; a pattern that ends in a dot is a prefix."""
    last = term.rpartition(".")[2]
    for kind, patterns in _KINDS:
        for pattern in patterns:
            if term.startswith(pattern) if pattern.endswith(".") else last == pattern:
                return kind
    return LOSSES


def curves_of(result: CellResult) -> list[Curve]:
    """Return every curve of a cell: the metrics measured during training, the terms of each window, the speed."""
    clock = TrainingClock(result.windows)
    found = []
    for term in dict.fromkeys(name for point in result.curves for name in point.terms):
        points = [point for point in result.curves if term in point.terms]
        found.append(
            Curve(
                term,
                kind_of(term),
                tuple(point.images for point in points),
                tuple(point.step for point in points),
                tuple(clock.seconds_at(point.step) for point in points),
                tuple(_finite(point.terms[term]) for point in points),
            )
        )
    return [*_metric_curves(_evaluations(result), clock), *found, *_speed_curve(result.windows, clock)]


def mean_curve(curves: Sequence[Curve]) -> Curve | None:
    """Return the mean of one quantity over seeds with its standard error, at the images that all of them have.

    A point is None unless every training has a finite value there. None if the trainings share fewer than two points.
    """
    common = [images for images in curves[0].images if all(images in curve.images for curve in curves[1:])]
    common = list(dict.fromkeys(common))
    if len(curves) < 2 or len(common) < 2:
        return None
    at = [{images: n for n, images in enumerate(curve.images)} for curve in curves]
    values: list[float | None] = []
    errors: list[float | None] = []
    for images in common:
        own = [curve.values[place[images]] for curve, place in zip(curves, at, strict=True)]
        known = [value for value in own if value is not None]
        mean, error = mean_and_error(known) if len(known) == len(own) else (None, None)
        values.append(mean)
        errors.append(error)
    first = curves[0]
    return Curve(
        first.quantity,
        first.kind,
        tuple(common),
        tuple(first.steps[at[0][images]] for images in common),
        tuple(
            math.fsum(curve.seconds[place[images]] for curve, place in zip(curves, at, strict=True)) / len(curves)
            for images in common
        ),
        tuple(values),
        tuple(errors),
        first.unit,
        len(curves),
    )


def _evaluations(result: CellResult) -> list[EvaluationPoint]:
    """Return the evaluations during training, and the final one if it is not among them."""
    points = list(result.evaluations)
    if result.estimates and (not points or points[-1].step != result.steps):
        points.append(EvaluationPoint(step=result.steps, images=result.images, estimates=result.estimates))
    return points


def _metric_curves(points: Sequence[EvaluationPoint], clock: TrainingClock) -> list[Curve]:
    if len(points) < 2:
        return []  # a single value is no curve
    found = []
    for metric in dict.fromkeys(estimate.metric for point in points for estimate in point.estimates):
        measured = [(point, e) for point in points for e in point.estimates if e.metric == metric]
        if len(measured) < 2:
            continue
        errors = tuple(_finite(estimate.standard_error) for _, estimate in measured)
        found.append(
            Curve(
                metric,
                METRICS,
                tuple(point.images for point, _ in measured),
                tuple(point.step for point, _ in measured),
                tuple(clock.seconds_at(point.step) for point, _ in measured),
                tuple(_finite(estimate.value) for _, estimate in measured),
                errors if any(error is not None for error in errors) else (),
            )
        )
    return found


def _speed_curve(windows: Sequence[Window], clock: TrainingClock) -> list[Curve]:
    """Return the images per second of each window, with those of the warm-up."""
    timed = [window for window in windows if window.seconds > 0]
    images = itertools.accumulate(window.images for window in windows)
    seen = [total for window, total in zip(windows, images, strict=True) if window.seconds > 0]
    if not timed:
        return []
    return [
        Curve(
            "images/s",
            SPEED,
            tuple(seen),
            tuple(window.step for window in timed),
            tuple(clock.seconds_at(window.step) for window in timed),
            tuple(_finite(window.images / window.seconds) for window in timed),
        )
    ]


class TrainingClock:
    """Seconds of training at each step, linear within a window."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self.steps, self.seconds = [0], [0.0]
        for window in windows:
            if window.step > self.steps[-1]:
                self.steps.append(window.step)
                self.seconds.append(self.seconds[-1] + max(window.seconds, 0.0))

    def seconds_at(self, step: int) -> float:
        """Return the training time at the end of a step; that of the last window for a later one."""
        after = bisect.bisect_left(self.steps, step)
        if after >= len(self.steps):
            return self.seconds[-1]
        if self.steps[after] == step:
            return self.seconds[after]
        share = (step - self.steps[after - 1]) / (self.steps[after] - self.steps[after - 1])
        return self.seconds[after - 1] + share * (self.seconds[after] - self.seconds[after - 1])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
