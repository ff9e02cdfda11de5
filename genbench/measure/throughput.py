"""The headline result: real images consumed per second, derived from windows."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.results.schema import Throughput, Window
from genbench.stats.intervals import median_interval

WINDOW_SECONDS = 5.0  # a window ends early after this long, so that progress and Ctrl-C are not held up


def throughput(windows: Sequence[Window], confidence: float = 0.95) -> Throughput | None:
    """Return the median rate over the timed windows with its interval, or None if nothing was timed.

    Warm-up windows do not count, nor does a window that the end of the budget cut to less than half the usual length.
    A window cut short by the time limit does: it is a slow one, and dropping it would overestimate the speed.
    """
    timed = [window for window in windows if not window.warmup and window.seconds > 0]
    if not timed:
        return None
    longest = max(window.steps for window in timed)
    counted = [window for window in timed if 2 * window.steps >= longest or window.seconds >= WINDOW_SECONDS]
    rates = median_interval([window.images / window.seconds for window in counted], confidence)
    steps = median_interval([window.steps / window.seconds for window in counted], confidence)
    return Throughput(
        images_per_second=rates.median,
        low=rates.low,
        high=rates.high,
        confidence=rates.confidence,
        windows=len(counted),
        steps_per_second=steps.median,
    )
