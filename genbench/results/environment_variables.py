"""Durations that the user sets with environment variables: one rule for what is valid, and one message."""

from __future__ import annotations

import os

from genbench.errors import UsageError

CHECKPOINT_SECONDS = "GENBENCH_CHECKPOINT_SECONDS"  # how often training is saved
PLUGIN_TIMEOUT = "GENBENCH_PLUGIN_TIMEOUT"  # the time limit for importing one plugin
REPORTER_TIMEOUT = "GENBENCH_REPORTER_TIMEOUT"  # the time that a reporter may take
EXECUTOR_TIMEOUT = "GENBENCH_EXECUTOR_TIMEOUT"  # the time that a call of an executor may take
LONGEST = 1e8  # seconds, three years; system calls refuse much longer ones


def seconds_from(name: str, default: float, zero: bool = False) -> float:
    """Return the seconds in an environment variable, or the default if it is unset or empty.

    Raises `UsageError` unless it is a positive number of at most `LONGEST`; with `zero`, 0 is valid too.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST or (seconds == 0 and not zero):  # also refuses NaN
        lowest = "0 or a positive number" if zero else "a positive number"
        raise UsageError(
            f"{name} = {text!r} is not valid.", f"Set it to {lowest} of seconds, at most {LONGEST:,.0f}, or unset it."
        )
    return seconds


def require_valid() -> None:
    """Raise `UsageError` if one of these variables is not valid, before work begins that would need it later."""
    seconds_from(CHECKPOINT_SECONDS, 1.0, zero=True)
    seconds_from(PLUGIN_TIMEOUT, 1.0)
    seconds_from(REPORTER_TIMEOUT, 1.0)
    seconds_from(EXECUTOR_TIMEOUT, 1.0)
