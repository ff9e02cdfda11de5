"""The clocks that time training: the host's, the GPU's, and what else the processors do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from genbench.doctor.finding import Figure, Finding, failed, passed, warning
from genbench.measure import machine

_COARSEST = 10e-6  # seconds: a tick of this length is 1 % of a step of a millisecond
_SECONDS = 0.7  # for which the clocks are watched
_DRIFT = 1e-3  # relative difference of two clocks over a second
_JUMP = 0.05  # seconds by which the machine's time may be corrected meanwhile
_EVENTS_APART = 0.02  # relative difference of the clock and the GPU's events, and
_EVENTS_SECONDS = 2e-4  # the absolute one that launching and waiting may cost
_SOURCE = "Check the kernel's clock source in /sys/devices/system/clocksource/clocksource0/current_clocksource"


def host_clock(device: str) -> Finding:
    """Check that the clock which times steps has fine ticks, never goes back, and agrees with two other clocks."""
    in_seconds = judge_clock(lambda: int(time.perf_counter() * 1e9), time.monotonic_ns, time.time_ns)
    if in_seconds.status != "passed":
        return in_seconds
    return judge_clock(time.perf_counter_ns, time.monotonic_ns, time.time_ns)


def judge_clock(clock: Callable[[], int], other: Callable[[], int], wall: Callable[[], int]) -> Finding:
    """Judge a clock, all in nanoseconds; `other` runs steadily too, `wall` is the machine's time, which can be set."""
    begin = clock(), other(), wall()
    last, tick, backwards = begin[0], _SECONDS, False
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        now = clock()
        backwards = backwards or now < last
        if now > last:
            tick = min(tick, (now - last) / 1e9)
        last = now
    passed_by = [(end - start) / 1e9 for start, end in zip(begin, (clock(), other(), wall()), strict=True)]
    drift, jump = abs(passed_by[0] / passed_by[1] - 1), abs(passed_by[2] - passed_by[1])
    figures = (Figure("tick", tick * 1e9, "ns"), Figure("drift", 100 * drift, "%"), Figure("time set by", jump, "s"))
    if backwards:
        return failed("The clock that times steps went back.", f"{_SOURCE}; speeds measured here are wrong.", *figures)
    if tick > _COARSEST:
        return failed(
            f"The clock that times steps is too coarse: its ticks are {tick * 1e6:,.0f} µs.",
            f"{_SOURCE}; it should be tsc, or that of the virtual machine (kvm-clock).",
            *figures,
        )
    if drift > _DRIFT:
        return failed(
            f"Two clocks of this machine differ by {100 * drift:.2g} %.",
            f"{_SOURCE}; speeds measured here are wrong.",
            *figures,
        )
    if jump > _JUMP:
        return warning(
            f"The machine's time was changed by {jump:.2g} s within a second.",
            "Let a time service correct it gradually (chrony, systemd-timesyncd). Durations do not depend on it.",
            *figures,
        )
    return passed(*figures)


def load(device: str) -> Finding:
    """Warn where programs compete for the processors."""
    cores, busy = machine.usable_cores(), machine.load_average()
    figures = (Figure("load average", busy), Figure("cores", cores))
    if busy > 0.5 * cores:
        return warning(
            f"In the last minute {busy:.1f} processes on average, the checks so far among them, competed for {cores:g} "
            "cores: timings will vary.",
            "Stop other programs before measuring. `genbench ab` compares two versions of the code despite such load.",
            *figures,
        )
    return passed(*figures)


def device_events(device: str) -> Finding:
    """Time the same work on the GPU with the host's clock and with the GPU's events."""
    from genbench.doctor.devices import NO_GPU, chosen_gpu

    target = chosen_gpu(device)
    if target is None:
        return NO_GPU
    import torch

    from genbench.measure.clock import synchronise

    matrix = torch.randn(2048, 2048, device=target, generator=torch.Generator(target).manual_seed(0))

    def once() -> tuple[float, float]:
        """Return the seconds by the host's clock and by the events."""
        first, second = torch.Event(target, enable_timing=True), torch.Event(target, enable_timing=True)
        synchronise(target)
        begin = time.perf_counter()
        first.record()
        for _ in range(200):
            torch.mm(matrix, matrix)
        second.record()
        synchronise(target)
        return time.perf_counter() - begin, first.elapsed_time(second) / 1e3

    once()
    pairs = [once() for _ in range(5)]
    host, events = (statistics.median(one[number] for one in pairs) for number in (0, 1))
    figures = (Figure("clock", 1e3 * host, "ms"), Figure("events", 1e3 * events, "ms"))
    if abs(host - events) > _EVENTS_APART * host + _EVENTS_SECONDS:
        return failed(
            f"The clock says {1e3 * host:.3g} ms and the GPU's events {1e3 * events:.3g} ms for the same work.",
            "Another program may use the GPU, or the clock is wrong: see the checks `devices` and `clock`.",
            *figures,
        )
    return passed(*figures)
