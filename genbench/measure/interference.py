"""Interference while a cell trains: other processes, the hypervisor, and the state of the GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from genbench.measure.capabilities import can
from genbench.measure.machine import usable_processors
from genbench.measure.nvml import POWER_CAP, NvmlUnavailable, gpu_state, open_nvml
from genbench.results.schema import GpuState, Surroundings, Window
from genbench.system.means import psutil, uses_linux

PROC_STAT = Path("/proc/stat")
SHARES = (0.5, 0.25, 0.1)  # of processor time taken by others, above which a note reports it
SLOWED_SECONDS = 0.01  # with reduced clocks, above which a note reports it
LONG_WINDOW = 3.0  # times the usual duration of a step, above which a window was interrupted
_FEWEST_WINDOWS = 4  # from which a usual duration is known
_LEAST_SECONDS = 1.0  # the kernel counts in hundredths of a second
_BUSY = ("user", "nice", "system", "irq", "softirq", "interrupt", "dpc")  # each system has some of them
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class ProcessorTimes:
    """Seconds since the machine started, summed over the processors that this process may use."""

    busy: float  # with any process
    stolen: float  # given to other virtual machines
    processors: int
    own: float  # of this process and its children that have ended
    now: float


def read_processor_times(
    path: Path = PROC_STAT, clock: Callable[[], float] = time.monotonic, processors: frozenset[int] | None = None
) -> ProcessorTimes | None:
    """Return the current times from Linux's /proc/stat, or elsewhere through psutil; None without them."""
    usable = processors if processors is not None else usable_processors()
    if not uses_linux() and path == PROC_STAT:
        return _times_by_psutil(usable, clock)
    busy = stolen = 0.0
    found = 0
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in usable:
                user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])  # user includes guests
                busy += user + nice + system + irq + softirq
                stolen += steal
                found += 1
    except (OSError, ValueError):
        return None
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return ProcessorTimes(busy / _TICKS, stolen / _TICKS, found, own, clock()) if found else None


def _times_by_psutil(usable: frozenset[int], clock: Callable[[], float]) -> ProcessorTimes | None:
    """Return the current times; on Windows without those of children that have ended, which it does not keep."""
    found = [times for number, times in enumerate(psutil().cpu_times(percpu=True)) if number in usable]
    busy = sum(getattr(times, name, 0.0) for times in found for name in _BUSY)
    own = sum(os.times()[:4])
    return ProcessorTimes(busy, sum(getattr(times, "steal", 0.0) for times in found), len(found), own, clock())


class InterferenceMonitor:
    """Compares processor times and the GPU's state before and after training."""

    def __init__(self, device: torch.device, read: Callable[[], ProcessorTimes | None] = read_processor_times) -> None:
        """Record the state before training."""
        self._device, self._read = device, read
        self._before = read()
        self._gpu_before, self._reason = _gpu_state_or_reason(device)

    def stop(self) -> Surroundings:
        """Record the state after training and return the interference; never raises."""
        gpu_after, reason = _gpu_state_or_reason(self._device)
        own, others, stolen = _shares(self._before, self._read())
        return Surroundings(
            own=own,
            others=others,
            stolen=stolen,
            gpu_before=self._gpu_before,
            gpu_after=gpu_after,
            gpu_reason=reason or self._reason,
        )


def _shares(
    before: ProcessorTimes | None, after: ProcessorTimes | None
) -> tuple[float | None, float | None, float | None]:
    """Return the shares of own, other and stolen time; None if the time was too short."""
    if before is None or after is None or after.processors != before.processors:
        return None, None, None
    whole = (after.now - before.now) * after.processors
    if whole < _LEAST_SECONDS * after.processors:
        return None, None, None
    own = after.own - before.own
    others = max(0.0, after.busy - before.busy - own)
    return own / whole, others / whole, (after.stolen - before.stolen) / whole


def _gpu_state_or_reason(device: torch.device) -> tuple[GpuState | None, str]:
    if not can(device).nvml:
        return None, ""
    try:
        return gpu_state(*open_nvml(device)), ""
    except NvmlUnavailable as error:
        return None, str(error)
    except Exception as error:  # for example a GPU that has just been lost
        return None, f"{type(error).__name__}: {error}"


def throttled_by(seen: Surroundings) -> list[str]:
    """Return why the GPU's clocks were reduced while the cell trained, without its usual power cap.

    The GPU's counters of the time with reduced clocks are compared before and after; where it has none, the states at
    these two moments, in which it may have been idle, are all that is known.
    """
    before, after = seen.gpu_before, seen.gpu_after
    if before is not None and after is not None and before.slowed is not None and after.slowed is not None:
        gone = {reason: seconds - before.slowed.get(reason, 0.0) for reason, seconds in after.slowed.items()}
        found = [reason for reason, seconds in gone.items() if seconds > SLOWED_SECONDS]
    else:
        found = [reason for state in (before, after) if state is not None for reason in state.throttled]
    return [reason for reason in dict.fromkeys(found) if reason != POWER_CAP]


def disturbance(seen: Surroundings) -> str:
    """Return what slowed the GPU: 'throttled', 'shared', both, or an empty string."""
    states = [state for state in (seen.gpu_before, seen.gpu_after) if state is not None]
    throttled = bool(throttled_by(seen))
    shared = any(state.other_processes for state in states)
    return " and ".join(word for word, holds in (("throttled", throttled), ("shared", shared)) if holds)


def disturbances(seen: Surroundings, windows: Sequence[Window] = ()) -> list[str]:
    """Return notes on interference that may have affected the cell's speed.

    On a CPU the criterion is that other processes and the hypervisor took more than a tenth of the time of the
    processors that the cell may use, over a training of at least a second. This does not show that the cell became
    slower, only that it did not have the machine to itself.
    """
    notes = []
    taken = (seen.others or 0.0) + (seen.stolen or 0.0)
    share = next((share for share in SHARES if taken > share), None)
    if share is not None:
        notes.append(
            f"others took more than {share:.0%} of the processors' time during training: its speed is not that of "
            "an idle machine"
        )
    states = [state for state in (seen.gpu_before, seen.gpu_after) if state is not None]
    reasons = throttled_by(seen)
    if reasons:
        notes.append(f"the GPU's clocks were lowered ({', '.join(reasons)}): its speed is not that of a cool GPU")
    if any(state.other_processes for state in states):
        most = max(state.other_processes or 0 for state in states)
        notes.append(f"{most} other process{'es' * (most != 1)} used the GPU: its speed is not that of this cell alone")
    notes += _interruptions(windows)
    return notes


def _interruptions(windows: Sequence[Window]) -> list[str]:
    """Return a note if timed windows took far longer than the others, as those of a process that was stopped do.

    The other criteria do not see this: a stopped process leaves the processors idle. A window is compared with the
    quartile of the fast ones, because more than half of all may be affected.
    """
    timed = [window for window in windows if not window.warmup and window.steps > 0]
    if len(timed) < _FEWEST_WINDOWS:
        return []
    usual = sorted(window.seconds / window.steps for window in timed)[len(timed) // 4]
    long = [window for window in timed if window.seconds > LONG_WINDOW * usual * window.steps]
    lost = sum(window.seconds - usual * window.steps for window in long)
    if lost < _LEAST_SECONDS:
        return []
    return [
        f"{len(long)} of {len(timed)} timed windows took more than {LONG_WINDOW:g} times as long per step as the fast "
        f"ones, {lost:.1f} s longer together: the process was stopped, or waited, during training, so its speed is not "
        "that of an undisturbed one"
    ]
