"""Trying cells for a second before a run: what their steps cost, and whether they would fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from genbench.errors import UsageError
from genbench.planning.identity import step_key
from genbench.planning.planner import names_in_use, plugins_behind
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Plugin
from genbench.results.schema import PlannedCell
from genbench.runner.job_runner import JobRunner
from genbench.runner.pool import WorkerPool
from genbench.runner.supervisor import ask_devices, estimate

TRIAL_SECONDS = 120.0  # for the trials of all kinds of cells


def trials(
    runner: JobRunner,
    cells: Sequence[PlannedCell],
    plugins_of: Callable[[PlannedCell], Sequence[Plugin]],
    device: str,
    threads: int | None,
) -> dict[bytes, dict[str, Any] | str]:
    """Return `estimate` of one cell of each kind, by `step_key`; after `TRIAL_SECONDS`, no more kinds are tried."""
    deadline = time.monotonic() + TRIAL_SECONDS
    found: dict[bytes, dict[str, Any] | str] = {}
    for cell in cells:
        key = step_key(cell.identity)
        if key not in found and time.monotonic() < deadline:
            found[key] = estimate(runner, cell, plugins_of(cell), device, threads)
    return found


def seconds_per_image(
    cells: Sequence[PlannedCell],
    catalogue: Catalogue,
    device: str,
    threads: int | None,
    notify: Callable[[str], object],
) -> dict[bytes, float]:
    """Return what training takes on this machine, by `step_key`; nothing for a device that it does not have.

    A kind of cells whose trial fails is left out: it may work on a node.
    """
    if not cells:
        return {}
    notify("estimating how long the cells take, for the time limits of their jobs")
    with WorkerPool() as runner:
        if not _has(runner, device):
            return {}
        tried = trials(
            runner, cells, lambda cell: plugins_behind(catalogue, names_in_use(cell.identity)), device, threads
        )
    return {
        key: facts["seconds_per_step"] / facts["images_per_step"]
        for key, facts in tried.items()
        if isinstance(facts, dict) and facts
    }


def _has(runner: JobRunner, device: str) -> bool:
    """Whether this machine has a device of this type."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return True
    try:
        return bool(ask_devices(runner, kind).get(kind))
    except UsageError:
        return False
