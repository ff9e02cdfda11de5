"""Which means of the operating system are used: those of Linux, or those that every system has.

On Linux, GENBENCH_PORTABLE=1 chooses the latter, so that they can be tested there.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

VARIABLE = "GENBENCH_PORTABLE"


def uses_linux() -> bool:
    """Return whether genbench uses what only Linux has."""
    return sys.platform == "linux" and os.environ.get(VARIABLE, "") != "1"


def psutil() -> Any:
    """Return the package psutil, which tells what other systems know about processes and memory."""
    return importlib.import_module("psutil")
