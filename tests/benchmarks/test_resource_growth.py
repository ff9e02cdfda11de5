"""The slope that says whether memory grows, and the readings of /proc that it is computed from."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

_PLACE = Path(__file__).parents[2] / "benchmarks" / "growth.py"
_SPEC = importlib.util.spec_from_file_location("growth", _PLACE)
assert _SPEC is not None and _SPEC.loader is not None
growth = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(growth)


def test_a_line_has_its_own_slope_whatever_a_few_samples_say() -> None:
    line = [3.0 + 2.0 * x for x in range(20)]
    assert growth.theil_sen(line) == (2.0, 2.0, 2.0)
    line[7] = 1e6
    assert growth.theil_sen(line).median == pytest.approx(2.0)


def test_the_intervals_cover_the_true_slope_in_about_95_of_100_cases() -> None:
    rng = random.Random(0)
    covered = 0
    for _ in range(400):
        slope = growth.theil_sen([0.1 * x + rng.gauss(0, 1) for x in range(25)])
        covered += slope.low <= 0.1 <= slope.high
    assert 0.92 <= covered / 400 <= 0.985


def test_two_samples_make_no_interval() -> None:
    with pytest.raises(ValueError, match="at least three"):
        growth.theil_sen([1.0, 2.0])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_what_a_process_holds() -> None:
    before = growth.held_by(os.getpid())
    kept = bytearray(b"x" * 32 * 2**20)
    with Path(__file__).open():
        after = growth.held_by(os.getpid())
    assert after["files"] == before["files"] + 1
    assert after["rss"] - before["rss"] == pytest.approx(len(kept), rel=0.1)
    assert after["anonymous"] - before["anonymous"] == pytest.approx(len(kept), rel=0.1)
    assert 0 < after["anonymous"] <= after["rss"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_processor_time_of_children_counts_once_they_have_ended() -> None:
    before = growth.processor_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert growth.processor_seconds(os.getpid()) - before >= 0.3
