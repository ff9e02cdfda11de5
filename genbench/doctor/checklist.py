"""The checks of the doctor in the order in which they run. Nothing here imports torch or a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.errors import UsageError, near_miss

_HERE = "genbench.doctor"


@dataclass(frozen=True)
class Check:
    """One question about this machine."""

    name: str
    question: str
    examine: str  # 'module:function'; it takes the device to check, and returns a `Finding`
    seconds: float = 60.0  # time limit, in addition to the time for starting its process
    quick: bool = True  # whether --quick includes it
    on_device: bool = False  # whether it depends on the device that is checked


CHECKS: tuple[Check, ...] = (
    Check("versions", "Do torch and the packages that genbench needs fit together?", f"{_HERE}.installation:versions"),
    Check("platform", "What can genbench do on this system?", f"{_HERE}.installation:platform"),
    Check("plugins", "Does every installed plugin load?", f"{_HERE}.installation:plugins", 120),
    Check(
        "driver", "Does the NVIDIA driver support torch's version of CUDA?", f"{_HERE}.drivers:driver", on_device=True
    ),
    Check("gpu-architecture", "Is torch built for these GPUs?", f"{_HERE}.drivers:architecture", on_device=True),
    Check("devices", "Can each device compute, and is it free?", f"{_HERE}.devices:each_device", on_device=True),
    Check(
        "fork-safety",
        "Can a worker forked after the preload use the device?",
        f"{_HERE}.fork_safety:forked_worker",
        on_device=True,
    ),
    Check("cache", "Is the cache writable, private and on a disk with room?", f"{_HERE}.storage:cache"),
    Check("prepared-images", "Are the prepared images in the cache intact?", f"{_HERE}.stored_images:prepared", 300),
    Check("working-directory", "Can results be written here?", f"{_HERE}.storage:working_directory"),
    Check("temporary-files", "Can processes exchange files?", f"{_HERE}.storage:temporary_files"),
    Check("shared-memory", "Is /dev/shm large enough for loaders?", f"{_HERE}.storage:shared_memory"),
    Check("host-memory", "Is there memory for a cell?", f"{_HERE}.memory_use:host"),
    Check("inception-weights", "Are the weights that define FID here?", f"{_HERE}.stored_images:inception_weights"),
    Check("datasets", "Which datasets are here, and unchanged?", f"{_HERE}.stored_images:datasets", 300, quick=False),
    Check("clock", "Is the clock fine, steady and monotonic?", f"{_HERE}.clocks:host_clock"),
    Check("machine-load", "Does anything else use the processors?", f"{_HERE}.clocks:load"),
    Check("device-events", "Do the clock and the GPU's events agree?", f"{_HERE}.clocks:device_events", on_device=True),
    Check(
        "training-step", "Does a step train, repeatably, without waiting?", f"{_HERE}.steps:eager", 120, on_device=True
    ),
    Check(
        "engine-compile",
        "Does `compile` train like eager?",
        f"{_HERE}.steps:compiled",
        240,
        quick=False,
        on_device=True,
    ),
    Check("engine-graph", "Does `graph` train like eager?", f"{_HERE}.steps:graph", 120, on_device=True),
    Check(
        "engine-graph-compile",
        "Does `graph+compile` train like eager?",
        f"{_HERE}.steps:graph_of_compiled",
        240,
        quick=False,
        on_device=True,
    ),
    Check("memory-formats", "How much GPU memory does a step take?", f"{_HERE}.memory_use:formats", on_device=True),
    Check("energy", "Does the energy counter count?", f"{_HERE}.power:energy", on_device=True),
    Check("gpu-clocks", "Does the GPU keep its clocks under load?", f"{_HERE}.power:gpu_clocks", on_device=True),
    Check(
        "process-group", "Do gloo or NCCL work, on loopback only?", f"{_HERE}.communication:one_rank", on_device=True
    ),
    Check(
        "listening", "Does a run with two processes open no port?", f"{_HERE}.communication:two_ranks", 180, quick=False
    ),
    Check(
        "failing-cells",
        "Does a good cell still run after killed, oversized and wrong ones?",
        f"{_HERE}.failing_cells:recover",
        240,
        quick=False,
        on_device=True,
    ),
)


def chosen(only: Sequence[str], quick: bool) -> list[Check]:
    """Return the checks with these names, or else all, or the quick ones; raise `UsageError` for unknown names."""
    known = [check.name for check in CHECKS]
    for name in only:
        if name not in known:
            raise UsageError(
                f"There is no check '{name}'.{near_miss(name, known)}", f"Checks: {', '.join(known)}.", code="GB101"
            )
    if only:
        return [check for check in CHECKS if check.name in only]
    return [check for check in CHECKS if check.quick or not quick]
