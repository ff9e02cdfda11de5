"""Records the settings of torch in every step of a program and its processes, one line of JSON each.

For STEP_PROBE of `benchmarks/step_probe`; the lines go to the file STEPS_SEEN.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import torch


def settings(precision: str) -> dict[str, Any]:
    """Return the settings of this moment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "benchmark": torch.backends.cudnn.benchmark,
            "products": torch.get_float32_matmul_precision(),
            "convolutions": torch.backends.cudnn.allow_tf32,
            "denormals": bool(torch.tensor(2.0**-140) * 0.5),
            "precision": precision,
        }


def observe(engine_class: Any) -> None:
    """Record the settings of every step of every engine."""
    run_phases = engine_class.run_phases

    def recorded(engine: Any, due: Any) -> None:
        line = json.dumps(settings(engine.precision)) + "\n"
        file = os.open(os.environ["STEPS_SEEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, line.encode())
        os.close(file)
        run_phases(engine, due)

    engine_class.run_phases = recorded
