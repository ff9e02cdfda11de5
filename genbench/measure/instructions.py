"""Retired instructions of this process, from the processor's own counter through Linux's perf_event_open(2).

Many virtual machines have no such counter, and some kernels do not permit it: `InstructionsUnavailable` says which.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from pathlib import Path

_CALL = {"x86_64": 298, "aarch64": 241}  # the number of perf_event_open, by machine
_HARDWARE, _INSTRUCTIONS = 0, 1  # PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS
_TIMES = 1 | 2  # PERF_FORMAT_TOTAL_TIME_ENABLED, PERF_FORMAT_TOTAL_TIME_RUNNING
_INHERIT, _USER_MODE_ONLY = 1 << 1, 1 << 5 | 1 << 6  # flags of perf_event_attr: exclude_kernel, exclude_hv
_CLOSE_ON_EXEC = 1 << 3  # PERF_FLAG_FD_CLOEXEC
_ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")  # perf_event_attr, its first version (64 bytes)
_READ = struct.Struct("=QQQ")  # count, nanoseconds enabled, nanoseconds counted
_PERMISSION = Path("/proc/sys/kernel/perf_event_paranoid")


class InstructionsUnavailable(Exception):
    """The counter cannot be used here; the message says why."""


class InstructionCounter:
    """Counts from its creation on: in the calling thread, and in threads and processes that start from there later.

    Args:
        kind: type of the event, and
        event: its number; by default, retired instructions.

    Raises `InstructionsUnavailable`.
    """

    def __init__(self, kind: int = _HARDWARE, event: int = _INSTRUCTIONS) -> None:
        self._file = -1
        number = _CALL.get(platform.machine()) if platform.system() == "Linux" else None
        if number is None:
            raise InstructionsUnavailable(f"not implemented for {platform.system()} on {platform.machine()}")
        attributes = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, event, 0, 0, _TIMES, _INHERIT | _USER_MODE_ONLY, 0, 0, 0)
        library = ctypes.CDLL(None, use_errno=True)
        self._file = library.syscall(ctypes.c_long(number), attributes, 0, -1, -1, ctypes.c_ulong(_CLOSE_ON_EXEC))
        if self._file < 0:
            raise InstructionsUnavailable(_reason(ctypes.get_errno()))

    def read(self) -> int | None:
        """Return the count so far; None if the counter was shared with another program, and did not count all."""
        count, enabled, counted = _READ.unpack(os.read(self._file, _READ.size))
        return int(count) if counted == enabled else None

    def close(self) -> None:
        """Stop counting."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _reason(error: int) -> str:
    if error in (1, 13):  # EPERM, EACCES
        level = _PERMISSION.read_text(encoding="ascii").strip() if _PERMISSION.exists() else "unknown"
        return f"the kernel does not permit it (kernel.perf_event_paranoid is {level}; 2 or less permits it)"
    if error in (2, 19, 95):  # ENOENT, ENODEV, EOPNOTSUPP
        return "this machine's processor, or its hypervisor, has no such counter"
    return os.strerror(error)
