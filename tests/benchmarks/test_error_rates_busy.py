"""Decisions replayed from series of windows of known noise, and the load that the series are recorded under."""

from __future__ import annotations

import math
import random
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

from genbench.measure.processor_time import processor_seconds

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gate"
ROUNDS = "ABBABAAB" * 8


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(FOLDER))  # it imports its neighbour
    return runpy.run_path(str(FOLDER / "error_rates_busy.py"))


def block(draws: random.Random, slowdown: float = 0.0) -> dict[str, Any]:
    """Return windows whose wall times are noise, and whose processor times are not."""
    by_arm = {"A": 1.0, "B": 1.0 + slowdown}
    series = [[by_arm[arm] * math.exp(draws.gauss(0, spread)) for arm in ROUNDS] for spread in (1.0, 0.03)]
    return {"order": ROUNDS, "seconds": series[0], "processor_seconds": series[1], "instructions": []}


def pair(seed: int) -> dict[str, Any]:
    draws = random.Random(seed)
    return {
        "busy": 2,
        "block_seconds": 20.0,
        "load_average": 4.0,
        "same": [block(draws) for _ in range(3)],
        "slowed": [block(draws, 0.08)],
    }


def test_processor_time_decides_where_wall_time_is_noise(script: dict[str, Any]) -> None:
    pairs = [pair(seed) for seed in range(6)]
    found = {
        (one["quantity"], one["slowdown"]): one for one in script["replay_decisions"](pairs, load=2, decisions=300)
    }
    assert set(found) == {(quantity, slowdown) for quantity in ("wall", "processor") for slowdown in (0.0, 0.05)}
    assert found["processor", 0.0]["shares"] == {"ok": 1.0}
    assert found["processor", 0.05]["shares"] == {"regressed": 1.0}
    assert found["processor", 0.05]["regressed_in_time"] == 1.0
    assert found["processor", 0.05]["blocks_in_time"] == 14  # of 20 s in 5 minutes, one of them the pilot
    assert found["wall", 0.05]["shares"]["inconclusive"] > 0.5
    assert script["choices"](pairs) == {"processor": 18}


def test_runs_of_windows_are_as_long_as_a_block_and_keep_their_order(script: dict[str, Any]) -> None:
    runs = list(script["runs_of_windows"]([block(random.Random(seed)) for seed in range(3)]))
    assert len(runs) == 3 * len(ROUNDS) // 4
    assert {len(run.seconds) for run in runs} == {len(ROUNDS)}
    assert {run.order[i : i + 4] for run in runs for i in range(0, len(ROUNDS), 4)} == {"ABBA", "BAAB"}


def test_of_the_busy_processes_as_many_work_as_should(script: dict[str, Any]) -> None:
    with script["busy_processes"](2) as processes:
        stopped = processor_seconds()
        time.sleep(0.2)
        idle = processor_seconds() - stopped
        processes.let_work(1)
        deadline = time.monotonic() + 60
        while processor_seconds() - stopped - idle < 0.2 and time.monotonic() < deadline:
            time.sleep(0.05)
        worked = processor_seconds() - stopped - idle
    assert idle < 0.1
    assert worked >= 0.2
