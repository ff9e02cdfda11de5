"""When a measured speed is too uncertain to be shown as a number or compared: its interval is too wide.

Other work on the machine, or a GPU that is throttled, makes the windows of one training differ. A median whose interval
is wider than the number itself says nothing about the model.
"""

from __future__ import annotations

from genbench.results.schema import Throughput
from genbench.stats.intervals import half_width

LARGEST_HALF_WIDTH = 1.0  # of the interval, as a share of the median: beyond ±100 %, a speed is no result


def uncertainty(speed: Throughput) -> str:
    """Return the interval of a speed that is too uncertain, such as ``±242 %``; empty for all others."""
    width = half_width(speed.images_per_second, speed.low, speed.high)
    return "" if width <= LARGEST_HALF_WIDTH else f"±{100 * width:.0f} %"


def explanation(interval: str) -> str:
    """Return why there is no speed, for a footnote."""
    return (
        f"the timed windows differ too much ({interval}; a speed is shown up to ±{100 * LARGEST_HALF_WIDTH:.0f} %): "
        "other work disturbed them; repeat the run on an idle machine, or with more images"
    )
