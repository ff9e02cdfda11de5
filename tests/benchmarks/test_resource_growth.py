"""The slope that shows whether memory grows, and the readings of /proc that it is computed from."""

from __future__ import annotations

import importlib.util
import mmap
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

_PLACE = Path(__file__).parents[2] / "benchmarks" / "resource_growth.py"
_SPEC = importlib.util.spec_from_file_location("resource_growth", _PLACE)
assert _SPEC is not None and _SPEC.loader is not None
resource_growth = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(resource_growth)


def test_the_slope_of_a_line_is_robust_to_an_outlier() -> None:
    line = [3.0 + 2.0 * x for x in range(20)]
    assert resource_growth.theil_sen(line) == (2.0, 2.0, 2.0)
    line[7] = 1e6
    assert resource_growth.theil_sen(line).median == pytest.approx(2.0)


def test_the_intervals_cover_the_true_slope_in_about_95_of_100_cases() -> None:
    rng = random.Random(0)
    covered = 0
    for _ in range(400):
        slope = resource_growth.theil_sen([0.1 * x + rng.gauss(0, 1) for x in range(25)])
        covered += slope.low <= 0.1 <= slope.high
    assert 0.92 <= covered / 400 <= 0.985


def test_two_samples_are_too_few_for_an_interval() -> None:
    with pytest.raises(ValueError, match="at least three"):
        resource_growth.theil_sen([1.0, 2.0])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc exists on Linux only")
def test_memory_and_open_files_of_a_process() -> None:
    before = resource_growth.read_resources(os.getpid())
    # New pages, whatever memory the process has freed before.
    kept = mmap.mmap(-1, 32 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, len(kept), mmap.PAGESIZE):
        kept[page] = 1
    with Path(__file__).open():
        after = resource_growth.read_resources(os.getpid())
    assert after["files"] == before["files"] + 1
    assert after["rss"] - before["rss"] == pytest.approx(len(kept), rel=0.1)
    assert after["anonymous"] - before["anonymous"] == pytest.approx(len(kept), rel=0.1)
    assert 0 < after["anonymous"] <= after["rss"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc exists on Linux only")
def test_the_cpu_time_of_children_counts_after_they_exit() -> None:
    before = resource_growth.cpu_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert resource_growth.cpu_seconds(os.getpid()) - before >= 0.3
