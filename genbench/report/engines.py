"""The engine that executed a cell's steps, as text: requested, used, why, and which ones were tried."""

from __future__ import annotations

import statistics

from genbench.report import numbers
from genbench.results.schema import EngineCheck, EngineRecord, EngineTrial, MemoryFormatChoice


def engine_lines(record: EngineRecord) -> list[str]:
    """Return one line on the engine used and one on each engine tried."""
    requested = "" if record.asked == record.used else f" (requested: {record.asked})"
    reason = "" if record.reason == "asked for" else f": {record.reason}"
    lines = [f"engine: {record.used}{requested}{reason}", *(f"  {_trial(trial)}" for trial in record.trials)]
    if record.memory_format is not None and record.memory_format.seconds_per_step:
        lines.append(f"  memory format: {_memory_format(record.memory_format)}")
    return lines


def _memory_format(choice: MemoryFormatChoice) -> str:
    """Return the format used, and the time of a step in each."""
    timed = (
        f"{numbers.significant(1e3 * statistics.median(seconds), 3)} ms per step in {name}"
        for name, seconds in choice.seconds_per_step.items()
    )
    return ", ".join([f"{choice.used}, {choice.reason}", *timed])


def _trial(trial: EngineTrial) -> str:
    parts = [f"{trial.engine}: {trial.outcome}"]
    if trial.reason:
        parts.append(trial.reason)
    if trial.prepare_seconds:
        parts.append(f"prepared in {numbers.seconds(trial.prepare_seconds)}")
    if trial.seconds_per_step:
        parts.append(f"{numbers.significant(1e3 * statistics.median(trial.seconds_per_step), 3)} ms per step")
    if trial.check is not None:
        parts.append(_check(trial.check))
    return ", ".join([*parts, *trial.notes])


def _check(check: EngineCheck) -> str:
    """Return each deviation with its tolerance."""
    bounds = (
        f"{bound.what.replace('_', ' ')} {_number(bound.found)} (tolerance {_number(bound.tolerance)})"
        for bound in check.bounds
    )
    return f"deviation from eager fp32 over {check.steps} steps: {', '.join(bounds)}"


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"
