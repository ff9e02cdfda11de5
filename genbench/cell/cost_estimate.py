"""Estimating the cost of a cell: its step is timed for about a second on random images of the right shape."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from genbench.api.recipe import resolve_recipe
from genbench.cell.memory_limits import limit_memory
from genbench.cell.setting_warnings import setting_warnings
from genbench.data.loading import LoadedData
from genbench.measure.accelerator import select_device
from genbench.measure.clock import time_window
from genbench.measure.memory import PeakMemory
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.messages import Job
from genbench.train.builder import build_cell
from genbench.train.engines.memory_format_choice import choose_memory_format
from genbench.train.engines.selection import PREPARATION_SECONDS
from genbench.train.network_checks import count_parameters
from genbench.train.torch_setup import step_settings

WARMUP_STEPS, STEPS, ENOUGH_SECONDS = 5, 100, 1.0


def estimate_cell(job: Job) -> dict[str, Any]:
    """Return seconds per step, images per step, parameters, peak memory and notes of the job's cell."""
    assert job.cell is not None
    identity, device = job.cell.identity, select_device(job.device)
    recipe = resolve_recipe(identity.recipe, owner=identity.model.name)
    limit_memory(job.memory_limit, device)
    catalogue = load_catalogue(job.plugins)
    batch_size = recipe.batch_size
    shape = (2 * batch_size, *identity.image_shape)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    labels = torch.arange(2 * batch_size) % 10
    data = LoadedData(pixels, labels, pixels[:2], labels[:2], num_classes=10, hash="", notes=())
    seconds: list[float] = []
    with step_settings(recipe.precision):
        built = build_cell(identity, catalogue, data, device)
        choose_memory_format(built.engine)
        time_window(built.engine.step, WARMUP_STEPS, device)
        while len(seconds) < STEPS and sum(seconds) < ENOUGH_SECONDS:
            seconds.append(time_window(built.engine.step, 1, device)[1])
    built.engine.data.close()
    return {
        "seconds_per_step": statistics.median(seconds),  # robust to short interference from other processes
        "images_per_step": built.engine.images_per_step,
        "parameters": sum(count_parameters(built.setup.networks, frozen=True).values()),
        "peak_rss": PeakMemory(device).read(0).peak_rss,
        "notes": [
            *setting_warnings(built, identity, catalogue),
            *_engine_notes(recipe.engine),
            *_processes_notes(recipe.processes),
        ],
    }


def _engine_notes(engine: str) -> list[str]:
    """Return a note on the preparation of an engine, which the estimate does not include."""
    if engine == "eager":
        return []
    if engine == "auto":
        return ["timed eagerly: a long training tries faster engines first, which takes a minute or so"]
    seconds = PREPARATION_SECONDS[engine]
    return [f"timed eagerly: the engine {engine} is prepared first, in about {seconds:.0f} s, and may be faster"]


def _processes_notes(processes: int) -> list[str]:
    """Return a note that the estimate used one process, if several would train the cell."""
    return [f"estimated with one process and the total batch of all {processes}"] if processes > 1 else []
