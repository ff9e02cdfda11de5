"""The conditions of a cell that must agree before its numbers are compared with another cell's."""

from __future__ import annotations

import msgspec
import torch

from genbench.api.recipe import Recipe
from genbench.data.loading import LoadedData
from genbench.measure import accelerator, machine
from genbench.measure.interference import disturbance
from genbench.results.schema import Comparability, EngineRecord, Surroundings
from genbench.train.torch_setup import denormals_are_flushed


def comparability(recipe: Recipe, device: torch.device, data: LoadedData, processes: int = 1) -> Comparability:
    """Return the conditions known before training; `threads` is the sum over the processes on this machine."""
    return Comparability(
        machine=machine.processor(),
        cores=machine.usable_cores(),
        threads=torch.get_num_threads() * processes,
        openmp=machine.openmp_settings(),
        allocator=machine.allocator_settings(),
        denormals="flushed" if denormals_are_flushed() else "",
        accelerator=accelerator.accelerator_name(device),
        driver=accelerator.driver_version(device),
        torch=str(torch.__version__),
        python=machine.versions()["python"],
        precision=recipe.precision,
        engine=recipe.engine,
        data_hash=data.hash,
    )


def with_engine(known: Comparability, record: EngineRecord) -> Comparability:
    """Return the same, with the engine and the options of the step that were used."""
    chosen = record.step_tuning.chosen if record.step_tuning is not None else {}
    options = ", ".join(f"{name}={option}" for name, option in chosen.items())
    return msgspec.structs.replace(known, engine=record.used, step_tuning=options)


def with_interference(known: Comparability, seen: Surroundings) -> Comparability:
    """Return the same, with what slowed the GPU down during training."""
    return msgspec.structs.replace(known, disturbed=disturbance(seen))
