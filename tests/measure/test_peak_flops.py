"""The best matrix product: a rate of the right size, and no more time than was given."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from genbench.measure.peak_flops import matrix_peak

CPU = torch.device("cpu")


def clock_of(seconds: float) -> Callable[[], float]:
    """Return a clock that goes on by so much each time it is read."""
    now = 0.0

    def read() -> float:
        nonlocal now
        now += seconds
        return now

    return read


def test_the_rate_is_operations_over_the_best_time() -> None:
    found = matrix_peak(CPU, "fp32", seconds=1.0, clock=clock_of(0.001))
    assert found.size == 1024  # by this clock each product takes a millisecond, so the largest is the fastest
    assert found.per_second == pytest.approx(2 * 1024**3 / 0.001)


def test_a_slow_machine_tries_the_smallest_size_only() -> None:
    assert matrix_peak(CPU, "fp32", seconds=0.1, clock=clock_of(0.05)).size == 256


def test_it_says_size_format_and_threads() -> None:
    threads = torch.get_num_threads()
    plural = "s" * (threads != 1)
    assert str(matrix_peak(CPU, "fp32", clock=clock_of(0.02))) == f"256×256 float32, {threads} thread{plural}"
    assert matrix_peak(CPU, "bf16", clock=clock_of(0.02)).format == "bfloat16"
    assert matrix_peak(CPU, "tf32", clock=clock_of(0.02)).format == "tf32"


def test_global_randomness_is_left_alone() -> None:
    before = torch.get_rng_state()
    matrix_peak(CPU, "fp32", seconds=0.01)
    assert torch.equal(before, torch.get_rng_state())
