"""The engine that executed a cell's steps, as text: requested, used, why, and which ones were tried."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from genbench.report import numbers
from genbench.results.schema import EngineCheck, EngineRecord, EngineTrial, MemoryFormatChoice, StepTuning


def engine_lines(record: EngineRecord) -> list[str]:
    """Return one line on the engine used and one on each engine tried."""
    requested = "" if record.asked == record.used else f" (requested: {record.asked})"
    reason = "" if record.reason == "asked for" else f": {record.reason}"
    lines = [f"engine: {record.used}{requested}{reason}", *(f"  {_trial(trial)}" for trial in record.trials)]
    if record.memory_format is not None and record.memory_format.seconds_per_step:
        lines.append(f"  memory format: {_memory_format(record.memory_format)}")
    if record.step_tuning is not None and (record.step_tuning.trials or record.step_tuning.chosen):
        lines += [f"  {line}" for line in step_tuning_lines(record.step_tuning)]
    return lines


def step_tuning_lines(tuning: StepTuning) -> list[str]:
    """Return one line on the chosen options of the step, and one on each choice with the times of its options."""
    chosen = ", ".join(f"{name} = {option}" for name, option in tuning.chosen.items()) or "the defaults"
    parts = [f"step tuning: {chosen}: {tuning.reason}"]
    if tuning.confirmation:
        gain = statistics.median(before / after for before, after in zip(*tuning.confirmation.values(), strict=True))
        parts.append(f"{numbers.significant(gain, 3)} times as fast as the defaults, {_times(tuning.confirmation)}")
    if tuning.timing_seconds:
        parts.append(f"tuned in {numbers.seconds(tuning.timing_seconds)}")
    if tuning.check is not None:
        parts.append(_check(tuning.check))
    return [
        ", ".join(parts),
        *(f"  {trial.what}: {trial.used}, {_times(trial.seconds_per_step)}" for trial in tuning.trials),
    ]


def _times(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return the median time of a step with each option."""
    return ", ".join(
        f"{numbers.significant(1e3 * statistics.median(found), 3)} ms per step with {name}"
        for name, found in seconds.items()
    )


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
