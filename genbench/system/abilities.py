"""What genbench can do on which system: the table of docs/platforms.md, and what `genbench doctor` shows."""

from __future__ import annotations

import sys
from typing import NamedTuple

from genbench.system.means import uses_linux

NO = "not available"


class Ability(NamedTuple):
    """Something that depends on the system, and what there is of it on each."""

    name: str
    linux: str
    macos: str
    windows: str

    @property
    def here(self) -> str:
        """What there is of it here; with GENBENCH_PORTABLE=1 on Linux, as on Windows."""
        if uses_linux():
            return self.linux
        return self.macos if sys.platform == "darwin" else self.windows


ABILITIES = (
    Ability("start of a worker", "fork of a process with torch", "new process", "new process"),
    Ability("end of what a worker has started", "all of it", "what psutil finds", "what psutil finds"),
    Ability("memory limit of a cell on the CPU", "yes", NO, NO),
    Ability("status `oom` for a killed worker", "yes", NO, NO),
    Ability("several processes for one cell", "yes", NO, NO),
    Ability("loader workers", "yes", NO, NO),
    Ability("processors of cells side by side", "yes", NO, "yes"),
    Ability("peak memory of the timed steps alone", "yes", NO, NO),
    Ability("processor time of ended children", "yes", "yes", NO),
    Ability("energy of the processor", "if RAPL is readable", NO, NO),
    Ability("energy of an NVIDIA GPU", "yes", "no such GPU", "yes"),
    Ability("settings of idle threads and malloc", "yes", NO, NO),
    Ability("executors `ray` and `slurm`", "yes", "not tried", "not tried"),
)  # fmt: skip
