"""The fastest matrix product: a plausible rate, within the time limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from genbench.measure.peak_flops import matrix_peak

CPU = torch.device("cpu")


def clock_of(seconds: float) -> Callable[[], float]:
    """Return a clock that advances by this much each time it is read."""
    now = 0.0

    def read() -> float:
        nonlocal now
        now += seconds
        return now

    return read


def test_the_rate_is_operations_over_the_best_time() -> None:
    found = matrix_peak(CPU, "fp32", seconds=1.0, clock=clock_of(0.001))
    assert found.size == 1024  # with this clock each product takes a millisecond, so the largest has the highest rate
    assert found.per_second == pytest.approx(2 * 1024**3 / 0.001)


def test_a_slow_machine_tries_the_smallest_size_only() -> None:
    assert matrix_peak(CPU, "fp32", seconds=0.1, clock=clock_of(0.05)).size == 256


def test_the_description_states_size_format_and_threads() -> None:
    threads = torch.get_num_threads()
    plural = "s" * (threads != 1)
    assert str(matrix_peak(CPU, "fp32", clock=clock_of(0.02))) == f"256×256 float32, {threads} thread{plural}"
    assert matrix_peak(CPU, "bf16", clock=clock_of(0.02)).format == "bfloat16"
    assert matrix_peak(CPU, "tf32", clock=clock_of(0.02)).format == "tf32"


def test_global_random_state_is_unchanged() -> None:
    before = torch.get_rng_state()
    matrix_peak(CPU, "fp32", seconds=0.01)
    assert torch.equal(before, torch.get_rng_state())
