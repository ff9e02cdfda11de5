"""Run a benchmark under the settings of genbench's workers."""

from __future__ import annotations

import contextlib
import os
import sys

from genbench.process.environment import worker_environment
from genbench.train.torch_setup import set_up_torch, step_settings

_UNTIL_THE_END = contextlib.ExitStack()


def apply_worker_settings(threads: int, precision: str = "fp32") -> None:
    """Set up torch for the rest of this program; restart it first if its environment for OpenMP and malloc differs."""
    environment = worker_environment()
    if environment != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    set_up_torch(threads)
    keep_step_settings(precision)


def keep_step_settings(precision: str) -> None:
    """Apply the settings for steps in this precision until the program ends."""
    _UNTIL_THE_END.enter_context(step_settings(precision))
