"""The fork server: all that workers need is loaded before the first, and no thread runs that a fork would break."""

from __future__ import annotations

import subprocess
import sys

COUNT = """
import os, sys
import torch  # with NumPy, whose BLAS starts threads of its own and makes forks safe
of_libraries = len(os.listdir("/proc/self/task"))
from genbench.runner.fork_server import preload
preload()
threads, before = len(os.listdir("/proc/self/task")) - of_libraries, set(sys.modules)
from genbench.plugins.worker_catalogue import load_catalogue
catalogue = load_catalogue([])
print(threads, len(catalogue.models) > 5, sorted(set(sys.modules) - before))
"""


def test_the_built_in_plugins_are_loaded_before_the_first_worker_and_start_no_thread() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "0 True []\n"
