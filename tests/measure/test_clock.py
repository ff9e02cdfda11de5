"""Windows of steps, timed with a fake clock."""

from __future__ import annotations

import time

import pytest
import torch

from genbench.measure import clock as clock_module
from genbench.measure.clock import time_window, warm_up
from genbench.measure.throughput import WINDOW_SECONDS

CPU = torch.device("cpu")


class FakeClock:
    """Time passes only in steps."""

    def __init__(self, seconds_per_step: float) -> None:
        self.now, self.each, self.steps = 1_000_000_000, int(seconds_per_step * 1e9), 0

    def step(self) -> None:
        self.now += self.each
        self.steps += 1

    def __call__(self) -> int:
        return self.now


def test_a_window_runs_the_requested_steps() -> None:
    clock = FakeClock(0.01)
    assert time_window(clock.step, 40, CPU, clock) == (40, 0.4)
    assert clock.steps == 40


def test_a_slow_window_ends_at_its_time_limit() -> None:
    clock = FakeClock(2.0)
    done, seconds = time_window(clock.step, 200, CPU, clock)
    assert (done, seconds) == (3, 6.0)
    assert seconds < WINDOW_SECONDS + 2.0


def test_at_least_one_step_runs() -> None:
    clock = FakeClock(1000.0)
    assert time_window(clock.step, 5, CPU, clock) == (1, 1000.0)


@pytest.mark.parametrize(("device", "seconds"), [("cpu", 0.0), ("meta", 0.05)])
def test_an_accelerator_warms_up_for_a_while_and_a_cpu_for_some_steps(
    device: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "ACCELERATOR_WARMUP_SECONDS", 0.05)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: None)
    steps: list[float] = []

    def step() -> None:
        time.sleep(1e-3)
        steps.append(time.perf_counter())

    begin = time.perf_counter()
    assert warm_up(step, 3, torch.device(device)) >= 1e-3
    assert len(steps) == 3 if device == "cpu" else len(steps) > 3
    assert steps[-1] - begin >= seconds
    assert warm_up(step, 0, torch.device(device)) == 0.0
