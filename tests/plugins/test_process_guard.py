"""Changes of global settings and random numbers are restored and reported."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.plugins.process_guard import GENERATORS, SETTINGS, preserved_process_state


def global_state() -> list[object]:
    return [setting.value() for setting in (*GENERATORS, *SETTINGS)]


@pytest.mark.parametrize(
    ("change", "description"),
    [
        (lambda: random.seed(1), "Python's global random numbers"),
        (lambda: np.random.seed(1), "numpy's global random numbers"),
        (lambda: torch.manual_seed(1), "torch's global random numbers"),
        (lambda: torch.set_default_dtype(torch.float64), "torch's default dtype (from torch.float32 to torch.float64)"),
        (lambda: torch.set_num_threads(7), "torch's number of threads (from "),
        (lambda: torch.use_deterministic_algorithms(True), "torch's deterministic algorithms (from False to True)"),
        (lambda: torch.set_grad_enabled(False), "torch's gradient mode (from True to False)"),
        (lambda: torch.set_float32_matmul_precision("medium"), "torch's precision of matrix products"),
        (lambda: os.chdir("/"), "the working directory (from "),
    ],
)
def test_a_change_is_restored_and_reported(change: Callable[[], object], description: str) -> None:
    before = global_state()
    with preserved_process_state() as changes:
        change()
    (found,) = changes
    assert found.startswith(description)
    assert global_state() == before


@pytest.mark.parametrize("draws", [1, 300, 600])
def test_a_few_draws_as_in_many_imports_are_restored_without_a_report(draws: int) -> None:
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed)
        random.getrandbits(32 * 100 * seed)
        before = global_state()
        with preserved_process_state() as changes:
            random.getrandbits(32 * draws)
            np.random.randint(0, 9, draws // 2 + 1)
            torch.randn(draws)
        assert changes == []
        assert global_state() == before


def test_changes_are_restored_after_an_error_too() -> None:
    before = global_state()
    with pytest.raises(ValueError, match="broken"), preserved_process_state() as changes:
        torch.set_default_dtype(torch.float64)
        raise ValueError("broken")
    assert len(changes) == 1
    assert global_state() == before


def test_random_numbers_may_be_drawn_if_randomness_is_false() -> None:
    with preserved_process_state(randomness=False) as changes:
        torch.nn.Linear(2, 2)
        random.random()
    assert changes == []


@pytest.mark.slow
def test_a_torch_that_is_imported_inside_is_compared_with_a_fresh_one(tmp_path: Path) -> None:
    program = """
from genbench.plugins.process_guard import preserved_process_state
with preserved_process_state() as changes:
    import torch
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
print(*changes, sep=", ")
with preserved_process_state() as changes:
    pass
assert not changes
assert torch.get_default_dtype() == torch.float32
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "torch's default dtype (from torch.float32 to torch.float64), "
        "torch's deterministic algorithms (from False to True)"
    )
