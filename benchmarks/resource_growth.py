"""Memory and open files of a process, read from Linux's /proc, and the slope of a series of samples."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple


class Slope(NamedTuple):
    """The growth per sample with its distribution-free interval."""

    median: float
    low: float
    high: float


def theil_sen(samples: Sequence[float]) -> Slope:
    """Return the median slope of all pairs of equally spaced samples, with Sen's 95% interval.

    The interval lies between the order statistics (N ∓ 1.96·√(n(n-1)(2n+5)/18)) / 2 of the N pairwise slopes (Sen 1968,
    JASA 63:1379; the variance is Kendall's without ties). Raises ValueError below 3 samples.
    """
    n = len(samples)
    if n < 3:
        raise ValueError("a slope with an interval needs at least three samples")
    slopes = sorted((samples[j] - samples[i]) / (j - i) for i, j in combinations(range(n), 2))
    spread = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(statistics.median(slopes), slopes[low], slopes[high])


def read_resources(pid: int) -> dict[str, int]:
    """Return resident bytes (`rss`), those not backed by a file (`anonymous`), and the number of open files (`files`).

    Not the proportional set size: it depends on which other processes have loaded the same libraries.
    """
    found = {"files": len(os.listdir(f"/proc/{pid}/fd"))}  # noqa: PTH208 - links, not files
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Anonymous"):
            found[name.lower()] = int(rest.split()[0]) * 1024
    return found


def find_only_child() -> int:
    """Return the process id of this process's only child."""
    (child,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return int(child)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children that have exited."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return sum(map(int, after_name[11:15])) / os.sysconf("SC_CLK_TCK")  # utime, stime, cutime, cstime
