"""When a measured speed is too uncertain to be shown as a number or compared: its interval is too wide.

Other work on the machine, or a GPU that is throttled, makes the windows of one training differ. A median whose interval
is wider than the number itself says nothing about the model.
"""

from __future__ import annotations

from genbench.results.schema import Throughput

LARGEST_HALF_WIDTH = 1.0  # of the interval, as a share of the median: beyond ±100 %, a speed is no result


def half_width(value: float, low: float, high: float) -> float:
    """Return the larger half of the interval [low, high] as a share of its median; 0 if that is not positive."""
    return max(high - value, value - low, 0.0) / value if value > 0 else 0.0


def uncertainty(speed: Throughput) -> str:
    """Return the interval of a speed that is too uncertain, such as ``±242 %``; empty for all others."""
    width = half_width(speed.images_per_second, speed.low, speed.high)
    return "" if width <= LARGEST_HALF_WIDTH else f"±{100 * width:.0f} %"


def explanation(interval: str) -> str:
    """Return why there is no speed, for a footnote."""
    return (
        f"the timed windows differ too much ({interval}; a speed is shown up to ±{100 * LARGEST_HALF_WIDTH:.0f} %): "
        "other work disturbed the machine; repeat it on an idle one, or with more images"
    )
