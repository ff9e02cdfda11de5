"""Finding a measured value by its metric."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.api.evaluation import Estimate, Unavailable
from genbench.errors import UsageError, near_miss


def find_estimate(estimates: Iterable[Estimate], unavailable: Iterable[Unavailable], metric: str) -> Estimate:
    """Return the estimate of a metric; raise `UsageError` with the reason why there is none, or the nearest name."""
    known = {estimate.metric: estimate for estimate in estimates}
    if metric in known:
        return known[metric]
    for missing in unavailable:
        if missing.metric == metric:
            raise UsageError(f"'{metric}' has no value: {missing.reason.removesuffix('.')}.", code="GB601")
    raise UsageError(
        f"'{metric}' was not measured.{near_miss(metric, known)}",
        f"Measured: {', '.join(known) or 'nothing'}.",
        code="GB602",
    )
