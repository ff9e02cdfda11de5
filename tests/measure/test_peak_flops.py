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


def test_the_factors_are_not_nearly_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16, neighbouring values of a ramp over a large matrix are equal: a GPU computes faster with them."""
    factors: list[torch.Tensor] = []
    multiply = torch.mm

    def recording(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        factors.append(a.float())
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", recording)
    matrix_peak(CPU, "bf16")
    for factor in factors:
        assert factor.std(dim=1).min() > 0.8
        assert abs(float(factor.mean())) < 0.05
    again = list(factors)
    matrix_peak(CPU, "bf16")
    assert torch.equal(factors[len(again)], again[0])
