"""Settings of torch that no step should have, in which tests of the step's own settings begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def other_settings() -> Iterator[None]:
    """Set them, and restore the usual ones."""
    threads = torch.get_num_threads()
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = False, True
    torch.set_float32_matmul_precision("medium")
    torch.set_flush_denormal(False)
    yield
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
