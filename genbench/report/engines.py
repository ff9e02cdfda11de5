"""What is said of the engine that executed a cell's steps: asked, used, why, and what was tried."""

from __future__ import annotations

import statistics

from genbench.report import numbers
from genbench.results.schema import EngineCheck, EngineRecord, EngineTrial


def engine_lines(record: EngineRecord) -> list[str]:
    """Return a line on what was used, and one on each engine that was tried."""
    asked = "" if record.asked == record.used else f" ({record.asked} was asked for)"
    reason = "" if record.reason == "asked for" else f": {record.reason}"
    return [f"engine: {record.used}{asked}{reason}", *(f"  {_trial(trial)}" for trial in record.trials)]


def _trial(trial: EngineTrial) -> str:
    said = [f"{trial.engine}: {trial.outcome}"]
    if trial.reason:
        said.append(trial.reason)
    if trial.prepare_seconds:
        said.append(f"prepared in {numbers.seconds(trial.prepare_seconds)}")
    if trial.seconds_per_step:
        said.append(f"{numbers.significant(1e3 * statistics.median(trial.seconds_per_step), 3)} ms per step")
    if trial.check is not None:
        said.append(_check(trial.check))
    return ", ".join([*said, *trial.notes])


def _check(check: EngineCheck) -> str:
    """Name each deviation with what was allowed."""
    bounds = (
        f"{bound.what.replace('_', ' ')} {_number(bound.found)} of {_number(bound.tolerance)}" for bound in check.bounds
    )
    return f"deviates from eager fp32 in {check.steps} steps by {', '.join(bounds)}"


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"
