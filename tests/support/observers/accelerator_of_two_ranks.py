"""Lets each of two processes take the CPU for an accelerator on which the other memory format is faster.

For STEP_PROBE of `benchmarks/step_probe`. Contiguous takes 1 and 5 ms per step, channels_last 2 and 1 ms.
"""

from __future__ import annotations

import os
from typing import Any

SECONDS = {"contiguous": (1e-3, 5e-3), "channels_last": (2e-3, 1e-3)}


def observe(engine_class: Any) -> None:
    """Replace the question whether it is one, and the clock, when the first step is about to be timed."""
    note_memory = engine_class.note_memory

    def noted(engine: Any) -> None:
        from genbench.train.engines import memory_format_choice
        from genbench.train.memory_format import format_name

        def seconds_per_step(engine: Any, seconds: float) -> float:
            engine.step()
            return SECONDS[format_name(engine.memory_format)][int(os.environ["RANK"])]

        patched: Any = memory_format_choice
        patched.is_accelerator, patched.seconds_per_step = (lambda device: True), seconds_per_step
        note_memory(engine)

    engine_class.note_memory = noted
