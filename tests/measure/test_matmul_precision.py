"""TF32 is allowed only on request; torch's older and newer switches agree."""

from __future__ import annotations

import warnings

import pytest
import torch

from genbench.features.extract import reproducible
from genbench.measure.capabilities import has_tf32
from genbench.measure.matmul_precision import tf32


def switches() -> tuple[object, ...]:
    return torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("allowed", [True, False])
def test_all_switches_agree_and_are_restored(allowed: bool) -> None:
    before = switches()
    with warnings.catch_warnings(), tf32(allowed):
        warnings.simplefilter("error")
        assert switches() == ("high" if allowed else "highest", allowed, allowed)
        if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch 2.9
            newer = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
            assert [switch.fp32_precision == "tf32" for switch in newer] == [allowed] * 3
        with tf32(not allowed):
            assert switches() == ("highest" if allowed else "high", not allowed, not allowed)
        assert switches()[1] is allowed
    assert switches() == before


def test_features_are_taken_in_full_precision_in_a_cell_that_trains_in_tf32() -> None:
    with tf32(True):
        with reproducible():
            assert switches() == ("highest", False, False)
            assert torch.backends.cudnn.deterministic
        assert switches() == ("high", True, True)


def test_a_cpu_has_no_tf32() -> None:
    assert not has_tf32(torch.device("cpu"))


@pytest.mark.cuda
@pytest.mark.skipif(not has_tf32(torch.device("cuda")) if torch.cuda.is_available() else True, reason="needs TF32")
def test_a_gpu_rounds_factors_to_ten_bits_of_mantissa() -> None:
    one = torch.full((256, 256), 1 + 2.0**-12, device="cuda")
    with tf32(True):
        assert float((one @ torch.eye(256, device="cuda"))[0, 0]) == 1.0
    with tf32(False):
        assert float((one @ torch.eye(256, device="cuda"))[0, 0]) == 1 + 2.0**-12
