"""What belongs to the process is put back as it was, and named."""

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

from genbench.plugins.process_guard import RANDOMNESS, SETTINGS, preserved_process_state


def settings() -> list[object]:
    return [setting.value() for setting in (*RANDOMNESS, *SETTINGS)]


@pytest.mark.parametrize(
    ("change", "words"),
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
def test_a_change_is_put_back_and_named(change: Callable[[], object], words: str) -> None:
    before = settings()
    with preserved_process_state() as changes:
        change()
    (found,) = changes
    assert found.startswith(words)
    assert settings() == before


@pytest.mark.parametrize("draws", [1, 300, 600])
def test_a_few_draws_as_many_an_import_makes_are_put_back_without_a_word(draws: int) -> None:
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed)
        random.getrandbits(32 * 100 * seed)
        before = settings()
        with preserved_process_state() as changes:
            random.getrandbits(32 * draws)
            np.random.randint(0, 9, draws // 2 + 1)
            torch.randn(draws)
        assert changes == []
        assert settings() == before


def test_it_is_put_back_after_an_error_too() -> None:
    before = settings()
    with pytest.raises(ValueError, match="broken"), preserved_process_state() as changes:
        torch.set_default_dtype(torch.float64)
        raise ValueError("broken")
    assert len(changes) == 1
    assert settings() == before


def test_initialisers_may_draw_where_that_is_said() -> None:
    with preserved_process_state(randomness=False) as changes:
        torch.nn.Linear(2, 2)
        random.random()
    assert changes == []


def test_a_torch_that_comes_in_between_is_held_against_a_fresh_one(tmp_path: Path) -> None:
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
