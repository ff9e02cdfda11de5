"""Time to quality: when a metric reached its target and kept it until the end of the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from genbench.api.evaluation import Estimate
from genbench.results.schema import EvaluationPoint, Target, Window


class Reached(NamedTuple):
    """The first evaluation from which a metric stays at its target, or better."""

    step: int
    images: int  # real images consumed by then
    seconds: float  # of training, warm-up included; evaluations are off the clock


def time_to_target(evaluations: Sequence[EvaluationPoint], windows: Sequence[Window], target: Target) -> Reached | None:
    """Return when the target was reached for good, or None where it was not.

    A target that is reached and lost again counts from when it is reached last. An evaluation without a finite value
    shows nothing, and counts as one that misses the target. The answer is late by less than the time between two
    evaluations.

    Args:
        evaluations: in the order of training, the last one at its end.
        windows: of the whole training; each evaluation lies at the end of one.
        target: what is to be reached.
    """
    found: EvaluationPoint | None = None
    for point in reversed(evaluations):
        if not _is_met(point.estimates, target):
            break
        found = point
    if found is None:
        return None
    seconds = math.fsum(window.seconds for window in windows if window.step <= found.step)
    return Reached(found.step, found.images, seconds)


def _is_met(estimates: Sequence[Estimate], target: Target) -> bool:
    value = next((estimate.value for estimate in estimates if estimate.metric == target.metric), math.nan)
    return math.isfinite(value) and (value <= target.value if target.direction == "lower" else value >= target.value)
