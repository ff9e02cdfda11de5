"""Cells trained by several processes: that they agree is verified, and what they share is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import torch

from genbench.cell.counters import CounterRecord, count
from genbench.cell.launch_bound import launch_bound_fraction
from genbench.results.schema import Distributed, Energy, Surroundings, Throughput
from genbench.train.builder import Built
from genbench.train.checkpoint import weights_checksum
from genbench.train.engine import Eager, Engine
from genbench.train.engines.distributed import DataParallel
from genbench.train.process_group import World


def require_consistent(when: str, world: World, engine: Engine, data_hash: str) -> None:
    """Raise `GenbenchError` in every process if their data, weights or buffers differ."""
    if world.size > 1:
        world.require_equal(f"{when}, the hash of the data", data_hash)
        world.require_equal(f"{when}, the checksum of weights and buffers", weights_checksum(engine))


def stop_synchronising(engine: Engine) -> None:
    """Let each process continue alone: its steps no longer exchange gradients with the others."""
    if isinstance(engine.execution, DataParallel):
        engine.execution.close()
        engine.execution = Eager()


def interference_of_all(world: World, seen: Surroundings) -> Surroundings:
    """Return the interference, counting the other processes of this cell on this machine as its own."""
    shares = [
        share for machine, share in world.all_gather((world.machine, seen.own or 0.0)) if machine == world.machine
    ]
    if seen.own is None or seen.others is None:
        return seen
    further = sum(shares) - seen.own
    return msgspec.structs.replace(seen, own=seen.own + further, others=max(0.0, seen.others - further))


def count_for_all(
    world: World, built: Built, sample: Callable[[int], object], device: torch.device, speed: Throughput | None
) -> CounterRecord:
    """Count on the main process only; with several processes, its operations are scaled to all of them.

    With several processes neither energy nor the launch-bound fraction is measured: alone, a process would draw
    different power and take different steps than it did together with the others.

    Args:
        world: the processes that trained the cell.
        built: the cell, after `stop_synchronising`.
        sample: generates that many images.
        device: the device of this process.
        speed: throughput of all processes together.
    """
    if world.size == 1:
        return count(built.engine, sample, device, built.recipe.energy_seconds, speed, launch_bound_fraction)
    counted = count(built.engine, sample, device, 0.0, speed)
    operations = counted.flops_per_image and counted.flops_per_image * world.size
    return replace(counted, flops_per_image=operations, energy=Energy(reason="not measured for several processes"))


def describe(world: World, built: Built, start_seconds: float) -> Distributed | None:
    """Return the record of the processes if there is more than one."""
    execution = built.engine.execution
    if world.size == 1 or not isinstance(execution, DataParallel):
        return None
    return Distributed(
        processes=world.size,
        nodes=built.recipe.nnodes,
        backend=world.backend,
        batch=built.engine.data.batch_size // world.size,
        threads=torch.get_num_threads(),
        unused=list(execution.unused),
        start_seconds=start_seconds,
    )
