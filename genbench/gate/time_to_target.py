"""Time to quality: when a metric reached its target for the rest of the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from genbench.api.evaluation import Estimate
from genbench.results.estimate_names import is_named
from genbench.results.schema import EvaluationPoint, Target, Window


class TargetReached(NamedTuple):
    """The first evaluation from which on a metric stays at its target or better."""

    step: int
    images: int  # real images consumed by then
    seconds: float  # of training, including warm-up but not evaluations


def time_to_target(
    evaluations: Sequence[EvaluationPoint], windows: Sequence[Window], target: Target
) -> TargetReached | None:
    """Return when the target was reached for the rest of the training, or None.

    If the target is reached and lost again, the last time counts. An evaluation without a finite value counts as
    missing the target. The result is late by less than the time between two evaluations.

    Args:
        evaluations: in the order of training, the last one at its end.
        windows: of the whole training; each evaluation takes place at the end of one.
        target: the value to reach.
    """
    found: EvaluationPoint | None = None
    for point in reversed(evaluations):
        if not _is_met(point.estimates, target):
            break
        found = point
    if found is None:
        return None
    seconds = math.fsum(window.seconds for window in windows if window.step <= found.step)
    return TargetReached(found.step, found.images, seconds)


def _is_met(estimates: Sequence[Estimate], target: Target) -> bool:
    value = next((estimate.value for estimate in estimates if is_named(estimate.metric, target.metric)), math.nan)
    return math.isfinite(value) and (value <= target.value if target.direction == "lower" else value >= target.value)
