"""Counters of a step, the roofline and interference from other processes, as text."""

from __future__ import annotations

from collections.abc import Iterator

from genbench.report import numbers
from genbench.report.table.layout import clean
from genbench.results.schema import CellResult, Counters, GpuState, Roofline, Surroundings

_MEBIBYTE = 2**20


def counted_lines(result: CellResult) -> list[str]:
    """Return the lines for those that the result contains."""
    lines = []
    if result.counters is not None:
        lines += [f"one step ({result.counters.engine}): {', '.join(_counts(result.counters))}"]
        lines += [f"  host reads: {numbers.counted(n)} × {clean(w)}" for w, n in result.counters.waits.items()]
    if result.roofline is not None:
        lines.append(_roofline(result.roofline))
    if result.surroundings is not None:
        lines += _surroundings(result.surroundings)
    return lines


def _counts(counters: Counters) -> Iterator[str]:
    yield f"{numbers.counted(counters.operations)} operator calls"
    yield f"{numbers.counted(counters.host_reads)} host reads"
    if counters.convolutions:
        last = numbers.counted(counters.channels_last)
        yield f"{numbers.counted(counters.convolutions)} convolutions, {last} of them in channels_last"
    if counters.layout_copies:
        yield f"{numbers.counted(counters.layout_copies)} copies to another memory format"
    yield f"{numbers.significant(counters.peak_bytes / _MEBIBYTE, 3)} MiB peak memory"
    counts = {
        "GPU synchronisations": counters.device_waits,
        "kernel launches": counters.kernel_launches,
        "launches of single kernels during training": counters.trained_launches,
        "launches of graphs during training": counters.trained_graph_launches,
    }
    for what, number in counts.items():
        if number is not None:
            yield f"{numbers.counted(number)} {what}"


def _roofline(roofline: Roofline) -> str:
    text = (
        f"matrix product: {numbers.parameters(roofline.peak)} floating-point operations/s ({clean(roofline.product)})"
    )
    if roofline.mfu is not None:
        text += f"; training reached {numbers.significant(100 * roofline.mfu, 3)}% of it"
    if roofline.launch_bound is not None:
        text += f"; launches take {roofline.launch_bound:.0%} of an eager step"
    return text


def _surroundings(seen: Surroundings) -> list[str]:
    lines = []
    if seen.own is not None and seen.others is not None and seen.stolen is not None:
        lines.append(
            f"processors during training: {seen.own:.0%} this cell, {seen.others:.0%} others, {seen.stolen:.0%} stolen"
        )
    for when, state in (("before", seen.gpu_before), ("after", seen.gpu_after)):
        if state is not None:
            lines.append(f"GPU {when} training: {', '.join(_gpu(state)) or 'not reported'}")
    if seen.gpu_reason:
        lines.append(f"GPU state: n/a, {clean(seen.gpu_reason)}")
    return lines


def _gpu(state: GpuState) -> Iterator[str]:
    if state.sm_clock is not None:
        highest = f" of {state.highest_sm_clock}" if state.highest_sm_clock is not None else ""
        yield f"SM {state.sm_clock}{highest} MHz"
    if state.memory_clock is not None:
        yield f"memory {state.memory_clock} MHz"
    if state.temperature is not None:
        yield f"{state.temperature} °C"
    if state.power is not None:
        yield f"{state.power:.0f} W"
    if state.throttled:
        yield f"clocks reduced: {', '.join(map(clean, state.throttled))}"
    if state.other_processes:
        yield f"{state.other_processes} other processes"
