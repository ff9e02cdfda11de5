"""The scalars that all three trackers receive: the same names and values, over real images consumed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from genbench import CellFinished, Evaluated, ReporterUnavailable, WindowFinished


def window_scalars(event: WindowFinished) -> dict[str, float]:
    """Return the terms of the curves, and the speed unless the window is part of the warm-up."""
    found = {f"train/{name}": value for name, value in event.terms.items()}
    return found if event.warmup else {**found, "speed/images_per_second": event.images_per_second}


def evaluation_scalars(event: Evaluated) -> dict[str, float]:
    """Return each metric, with its standard error if known."""
    found: dict[str, float] = {}
    for estimate in event.estimates:
        found[f"metric/{estimate.metric}"] = estimate.value
        if estimate.standard_error is not None:
            found[f"standard_error/{estimate.metric}"] = estimate.standard_error
    return found


def result_scalars(event: CellFinished) -> dict[str, float]:
    """Return what is known only at the end of a cell: median speed, parameters, peak memory, seconds taken."""
    result = event.result
    found: dict[str, float] = {"cell/seconds": result["durations"]["total"]}
    if result["throughput"]:
        found["cell/images_per_second"] = result["throughput"]["images_per_second"]
    if result["parameters"]:
        found["cell/parameters"] = sum(result["parameters"].values())
    if result["memory"]:
        found["cell/peak_rss_bytes"] = result["memory"]["peak_rss"]
    return found


def plain_values(settings: dict[str, Any]) -> dict[str, bool | int | float | str]:
    """Return settings in which lists and None, which some trackers reject, are replaced by text."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in settings.items()
    }


def import_library(module: str, extra: str) -> ModuleType:
    """Import a tracker's library, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ReporterUnavailable(
            f"{extra} cannot be imported ({error}). Install it with: pip install 'genbench-trackers[{extra}]'"
        ) from error
