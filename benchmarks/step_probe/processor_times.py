"""The processor time of every step, of all threads together, and the page faults in it.

Each engine has a file of its own in the folder STEP_COSTS. It is memory: a step writes no file and waits for no disk.
"""

from __future__ import annotations

import itertools
import mmap
import os
import resource
import struct
import time
from pathlib import Path
from typing import Any

_COST = struct.Struct("dd")  # seconds, page faults
_STEPS = 1 << 16  # that fit; more are not recorded
_numbers = itertools.count()


class _Record:
    """The costs of one engine's steps."""

    def __init__(self) -> None:
        path = Path(os.environ["STEP_COSTS"]) / f"{os.getpid():010}-{next(_numbers):04}"
        with path.open("w+b") as file:
            file.truncate(_STEPS * _COST.size)
            self._memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self._done = 0

    def add(self, seconds: float, faults: int) -> None:
        if self._done < _STEPS:
            _COST.pack_into(self._memory, self._done * _COST.size, seconds, faults)
            self._done += 1


def observe(engine_class: Any) -> None:
    """Record the costs of the steps of every engine."""
    step = engine_class.step

    def timed(engine: Any) -> None:
        record = engine.__dict__.get("_processor_times")
        if record is None:
            record = engine._processor_times = _Record()
        faults, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
        step(engine)
        seconds = time.process_time() - begin
        record.add(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)

    engine_class.step = timed


def read(folder: Path) -> list[list[tuple[float, float]]]:
    """Return the seconds and page faults of each engine's steps, in the order in which a process first used them."""
    found = []
    for path in sorted(folder.iterdir()):
        costs = list(_COST.iter_unpack(path.read_bytes()))
        found.append(list(itertools.takewhile(lambda cost: cost[0] > 0, costs)))
    return found
