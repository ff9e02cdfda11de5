"""A benchmark's process computes under the settings that genbench's workers have."""

from __future__ import annotations

import os
import sys

from genbench.process.environment import worker_environment
from genbench.train.torch_setup import set_up_torch


def compute_as_workers(threads: int) -> None:
    """Set up torch; first start this program again, where OpenMP and malloc were loaded with other settings."""
    environment = worker_environment()
    if environment != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    set_up_torch(threads)
