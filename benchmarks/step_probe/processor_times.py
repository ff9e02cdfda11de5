"""The processor time of every step, of all threads together: what other programs on the machine hardly change.

Each engine has a file of its own in the folder STEP_TIMES. It is memory: a step writes no file and waits for no disk.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any

_DOUBLE = struct.Struct("d")
_STEPS = 1 << 16  # that fit; more are not recorded
_numbers = itertools.count()


class _Record:
    """The times of one engine."""

    def __init__(self) -> None:
        path = Path(os.environ["STEP_TIMES"]) / f"{os.getpid():010}-{next(_numbers):04}"
        with path.open("w+b") as file:
            file.truncate(_STEPS * _DOUBLE.size)
            self._memory = mmap.mmap(file.fileno(), 0)
        self._done = 0

    def add(self, seconds: float) -> None:
        if self._done < _STEPS:
            _DOUBLE.pack_into(self._memory, self._done * _DOUBLE.size, seconds)
            self._done += 1


def observe(engine_class: Any) -> None:
    """Time the steps of every engine."""
    step = engine_class.step

    def timed(engine: Any) -> None:
        record = engine.__dict__.get("_processor_times")
        if record is None:
            record = engine._processor_times = _Record()
        begin = time.process_time()
        step(engine)
        record.add(time.process_time() - begin)

    engine_class.step = timed


def read(folder: Path) -> list[list[float]]:
    """Return the times of each engine, in the order in which a process first used them."""
    found = []
    for path in sorted(folder.iterdir()):
        values = [value for (value,) in _DOUBLE.iter_unpack(path.read_bytes())]
        found.append(values[: next((n for n, value in enumerate(values) if value == 0.0), len(values))])
    return found
