"""Windows of steps, timed with a fake clock."""

from __future__ import annotations

from collections.abc import Callable

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


@pytest.mark.parametrize(("device", "steps"), [("cpu", 20), ("meta", 500)])
def test_an_accelerator_warms_up_for_a_second_and_a_cpu_for_the_steps(
    device: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: None)
    clock = FakeClock(0.002)

    def timed(step: Callable[[], None], steps: int, device: torch.device) -> tuple[int, float]:
        return time_window(step, steps, device, clock)

    monkeypatch.setattr(clock_module, "time_window", timed)
    assert warm_up(clock.step, 20, torch.device(device)) == pytest.approx(0.002)
    assert clock.steps == steps
    assert warm_up(clock.step, 0, torch.device(device)) == 0.0
