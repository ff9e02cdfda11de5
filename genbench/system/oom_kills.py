"""How many processes the kernel has killed for lack of memory: a killed process cannot report it."""

from __future__ import annotations

import contextlib
from pathlib import Path


def kernel_memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory in this container, or else on this machine.

    Only Linux counts them: elsewhere it is always 0.
    """
    for name in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with contextlib.suppress(OSError):
            for line in Path(name).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0
