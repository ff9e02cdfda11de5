"""What all three trackers are given: the same names, the same numbers, over real images consumed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from genbench import CellFinished, Evaluated, ReporterUnavailable, WindowFinished


def of_window(event: WindowFinished) -> dict[str, float]:
    """Return the curves' terms, and the speed where it counts: windows that warm up do not."""
    found = {f"train/{name}": value for name, value in event.terms.items()}
    return found if event.warmup else {**found, "speed/images_per_second": event.images_per_second}


def of_evaluation(event: Evaluated) -> dict[str, float]:
    """Return each metric, and beside it its standard error where it is known."""
    found: dict[str, float] = {}
    for estimate in event.estimates:
        found[f"metric/{estimate.metric}"] = estimate.value
        if estimate.standard_error is not None:
            found[f"standard_error/{estimate.metric}"] = estimate.standard_error
    return found


def of_result(event: CellFinished) -> dict[str, float]:
    """Return what is known of a cell only at its end: its median speed, its size, its memory, the seconds it took."""
    result = event.result
    found: dict[str, float] = {"cell/seconds": result["durations"]["total"]}
    if result["throughput"]:
        found["cell/images_per_second"] = result["throughput"]["images_per_second"]
    if result["parameters"]:
        found["cell/parameters"] = sum(result["parameters"].values())
    if result["memory"]:
        found["cell/peak_rss_bytes"] = result["memory"]["peak_rss"]
    return found


def simple(settings: dict[str, Any]) -> dict[str, bool | int | float | str]:
    """Return settings with text in place of what a tracker may not take: lists, and no value."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in settings.items()
    }


def library(module: str, extra: str) -> ModuleType:
    """Import a tracker's library, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ReporterUnavailable(
            f"{extra} cannot be imported ({error}). Install it with: pip install 'genbench-trackers[{extra}]'"
        ) from error
