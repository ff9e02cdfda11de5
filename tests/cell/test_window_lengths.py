"""The length of windows where steps are queued: a window must not be outlasted by the replays that it has queued.

On a CPU a step ends when the host says so, and a window can be ended by the clock. A GPU takes replays into its queue:
the host is done with 200 of them long before the GPU, so the clock says nothing. There, the number of steps is chosen
beforehand from the speed of the window before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from genbench.cell import training_loop
from genbench.cell.training_loop import LONGEST_WINDOW, Training
from genbench.measure.throughput import WINDOW_SECONDS


class Queue:
    """A device that takes steps into its queue at once, and needs `seconds` for each."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.host, self.device = seconds, 0.0, 0.0  # the host's clock, and when the queue will be empty

    def step(self) -> None:
        self.host += 1e-6
        self.device = max(self.device, self.host) + self.seconds

    def synchronise(self, device: torch.device) -> None:
        self.host = max(self.host, self.device)

    def clock(self) -> int:
        return round(self.host * 1e9)


class Engine:
    """An engine that does nothing but take time."""

    images_per_step, step_number, images_seen = 8, 0, 0
    players: tuple[()] = ()

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def step(self) -> None:
        self.queue.step()
        self.step_number += 1
        self.images_seen += 8

    def read_terms(self) -> dict[str, torch.Tensor]:
        return {}

    def gradient_norms(self) -> dict[str, float]:
        return {}


class Silent:
    stop_requested = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def windows(seconds: float, device: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Train 20,000 steps of this length; return the steps and the seconds of each timed window."""
    queue = Queue(seconds)
    monkeypatch.setattr("genbench.measure.clock.synchronise", queue.synchronise)
    real = training_loop.time_window
    monkeypatch.setattr(training_loop, "time_window", lambda *rest, **more: real(*rest, clock=queue.clock, **more))
    evidence = SimpleNamespace(check_gradients=lambda: None)
    memory = SimpleNamespace(steps=training_loop.nullcontext)
    training = Training(
        engine=cast(Any, Engine(queue)),
        evidence=cast(Any, evidence),
        total_steps=20_000,
        warmup_steps=3,
        resume_path=Path("nowhere"),
        checkpoint_seconds=float("inf"),
        data_hash="",
        device=torch.device(device),
        memory=cast(Any, memory),
    )
    monkeypatch.setattr(training, "save", lambda: None)
    training.run(cast(Any, Silent()))
    assert training.engine.step_number == 20_000
    return [(window.steps, window.seconds) for window in training.windows if not window.warmup]


@pytest.mark.parametrize("seconds", [1e-4, 0.05, 0.3, 3.0])
def test_queued_steps_do_not_outlast_a_window(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = windows(seconds, "cuda", monkeypatch)
    longest = max(WINDOW_SECONDS, seconds)
    assert all(taken <= 1.01 * longest + 1e-3 for _, taken in found), max(taken for _, taken in found)
    assert max(steps for steps, _ in found) <= LONGEST_WINDOW
    most = min(LONGEST_WINDOW, max(1, int(WINDOW_SECONDS / seconds)))
    assert sum(steps >= most - 1 for steps, _ in found) > 0.9 * len(found)  # and they are not shorter than need be
