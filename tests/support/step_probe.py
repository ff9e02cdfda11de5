"""The environment in which programs tell what they do in their training steps: `benchmarks/step_probe`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_FOLDERS = (Path(__file__).parents[2] / "benchmarks" / "step_probe", Path(__file__).parent / "observers")


def environment(observer: str, **variables: str) -> dict[str, str]:
    """Return the variables that let a module of `observers` see every step of a program and of its processes."""
    path = os.pathsep.join(filter(None, [*map(str, _FOLDERS), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "STEP_PROBE": observer, **variables}


def settings_seen(path: Path) -> list[dict[str, Any]]:
    """Return the different settings of torch that `settings_of_steps` has seen, with the precision of the steps."""
    return [json.loads(line) for line in sorted(set(path.read_text(encoding="utf-8").splitlines()))]


def settings_of_a_run(precision: str) -> dict[str, Any]:
    """Return the settings that steps in this precision, of any program, should have."""
    tf32 = precision == "tf32"
    products = {"benchmark": True, "products": "high" if tf32 else "highest", "convolutions": tf32}
    return {**products, "denormals": False, "precision": precision}
