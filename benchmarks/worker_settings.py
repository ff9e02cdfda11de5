"""Run a benchmark under the settings of genbench's workers."""

from __future__ import annotations

import os
import sys

from genbench.process.environment import worker_environment
from genbench.train.torch_setup import set_up_torch


def apply_worker_settings(threads: int) -> None:
    """Set up torch; restart this program first if its environment for OpenMP and malloc differs."""
    environment = worker_environment()
    if environment != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    set_up_torch(threads)
