"""Checking that an execution trains like the eager one in fp32: the same 20 steps from the same state are compared.

Both receive the same images and random numbers, so exact arithmetic would give the same losses and parameters. Compared
are:

- the loss of each phase over all updates: the largest difference, relative to the largest absolute eager loss;
- the same for the first update only, before differences can accumulate;
- for each network, its trained parameters and its statistics (floating-point buffers, such as those of batch norm):
  |θ' - θ| / |θ - θ₀|, the distance between the two end points relative to the distance that eager training covered, in
  the L2 norm over all tensors together. A single norm is used because the gradients of some tensors, such as a bias
  before batch norm, consist of rounding errors only: Adam moves them as far as any other, in random directions, but
  they are few;
- the distances covered: | |θ' - θ₀| / |θ - θ₀| - 1 |;
- integer buffers, which must be equal.

A learning rate that is 10% too high therefore gives 0.1, and a network that is not trained gives 1.

The effect of rounding depends on the model: Adam takes steps of the same length however small the gradient, so an
InfoGAN generator whose initial weights differ in the last digit ends as far from the other end point as it has moved,
while a VAE ends in the same place. As a control, eager training is therefore repeated with slightly perturbed initial
weights, or in the engine's precision if that is not fp32. An engine may deviate `CONTROL_FACTOR` times as much as this
control, or as much as `TOLERANCES` allow, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.measure.clock import synchronise
from genbench.measure.matmul_precision import tf32
from genbench.results.schema import EngineBound, EngineCheck
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.state import state_kept

STEPS = 20
MAX_JSON = 1e300  # replaces infinity, which JSON cannot represent


@dataclass(frozen=True)
class Deviation:
    """How much two trajectories differ; infinite if one is not finite, or if integer buffers differ."""

    first_losses: float
    losses: float
    parameters: float
    lengths: float
    of: Mapping[str, str] = field(default_factory=dict)  # by quantity: the phase or network that deviates most


QUANTITIES: tuple[Literal["first_losses", "losses", "parameters", "lengths"], ...] = (
    "first_losses",
    "losses",
    "parameters",
    "lengths",
)
# An execution always passes with these deviations. They are a few times those of the well-behaved built-in models, as
# measured by benchmarks/engine_equivalence.py, and smaller than those caused by errors (see the tests).
TOLERANCES = {
    "fp32": Deviation(first_losses=3e-4, losses=5e-3, parameters=0.05, lengths=0.01),
    "tf32": Deviation(first_losses=2e-3, losses=1e-2, parameters=0.1, lengths=0.02),
    "bf16": Deviation(first_losses=1e-2, losses=2e-2, parameters=0.1, lengths=0.02),
}
CONTROL_FACTOR = 3.0
EPSILON = 2.0**-23  # the distance from 1 to the next number in fp32


@dataclass(frozen=True)
class Trajectory:
    """The losses and the state of some training steps."""

    losses: dict[str, Tensor]  # by phase, (updates,)
    start: dict[str, list[Tensor]]  # by network: its trained parameters; by 'name (statistics)': its float buffers
    end: dict[str, list[Tensor]]
    integers: dict[str, list[Tensor]]  # by network: integer buffers at the end


@dataclass(frozen=True)
class EagerTrajectories:
    """The eager training that an execution is compared with."""

    reference: Trajectory  # in fp32
    control: Trajectory  # in the engine's precision; if that is fp32, from perturbed weights


def record_trajectory(
    engine: Engine, execution: Execution, precision: str = "", steps: int = STEPS, perturbed: bool = False
) -> Trajectory:
    """Run some steps from the engine's current state, and restore that state.

    Args:
        execution: runs the steps, instead of the engine's own execution.
        precision: replaces the engine's precision; empty: unchanged.
        steps: number of steps. In the first of them every phase is due.
        perturbed: start from trained parameters that are changed in the last digit.
    """
    own = engine.execution, engine.precision
    with state_kept(engine), tf32(precision == "tf32") if precision else nullcontext():
        if perturbed:
            perturb(engine)
        start = _float_tensors(engine.networks)
        engine.step_number = 0
        engine.execution, engine.precision = execution, precision or engine.precision
        try:
            for _ in range(steps):
                engine.step()
            synchronise(engine.rng.device)
        finally:
            engine.execution, engine.precision = own
        read = engine.read_terms()
        losses = {player.phase.name: read.get(player.phase.name, torch.empty(0)) for player in engine.players}
        return Trajectory(losses, start, _float_tensors(engine.networks), _integer_buffers(engine.networks))


def measure_deviation(trajectory: Trajectory, reference: Trajectory) -> Deviation:
    """Compare two trajectories with the same start."""
    found: dict[str, dict[str, float]] = {quantity: {} for quantity in QUANTITIES}
    for name, series in reference.losses.items():
        scale = float(series.abs().max())
        same = trajectory.losses[name].shape == series.shape  # else the numbers of updates differ
        differences = (trajectory.losses[name] - series).abs() if same else torch.full((1,), math.inf)
        found["first_losses"][name] = _relative(float(differences[0]), scale)
        found["losses"][name] = _relative(float(differences.max()), scale)
    for name, start in reference.start.items():
        pairs = zip(trajectory.integers[name], reference.integers[name], strict=True)
        same = all(torch.equal(a, b) for a, b in pairs)
        covered = _distance(reference.end[name], start)
        other_covered = _distance(trajectory.end[name], trajectory.start[name])
        apart = _distance(trajectory.end[name], reference.end[name]) if same else math.inf
        found["parameters"][name] = _relative(apart, covered)
        found["lengths"][name] = _relative(abs(other_covered - covered), covered)
    worst = {quantity: max(values, key=values.__getitem__) for quantity, values in found.items()}
    return Deviation(**{quantity: found[quantity][name] for quantity, name in worst.items()}, of=worst)


def eager_trajectories(engine: Engine, steps: int = STEPS) -> EagerTrajectories:
    """Record the eager trajectories that executions of this engine are compared with."""
    eager = Eager()
    exact = engine.precision == "fp32"
    return EagerTrajectories(
        record_trajectory(engine, eager, "fp32", steps),
        record_trajectory(engine, eager, engine.precision, steps, perturbed=exact),
    )


def check_execution(engine: Engine, execution: Execution, eager: EagerTrajectories, steps: int = STEPS) -> EngineCheck:
    """Record the trajectory of an execution, and compare it with eager ones of as many steps from the same state."""
    found = measure_deviation(record_trajectory(engine, execution, steps=steps), eager.reference)
    control = measure_deviation(eager.control, eager.reference)
    least = TOLERANCES[engine.precision]
    bounds = [
        EngineBound(
            what=quantity,
            of=found.of[quantity],
            found=min(getattr(found, quantity), MAX_JSON),
            tolerance=min(max(getattr(least, quantity), CONTROL_FACTOR * getattr(control, quantity)), MAX_JSON),
            shadow=min(getattr(control, quantity), MAX_JSON),
        )
        for quantity in QUANTITIES
    ]
    return EngineCheck(steps=steps, precision=engine.precision, bounds=bounds)


def perturb(engine: Engine, seed: int = 0) -> None:
    """Change each trained parameter by up to the distance to the next number."""
    rng = torch.Generator(engine.rng.device).manual_seed(seed)
    with torch.no_grad():
        for network in engine.networks.values():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    change = torch.rand(parameter.shape, generator=rng, device=rng.device).mul_(2).sub_(1)
                    parameter.mul_(change.mul_(EPSILON).add_(1))


def _relative(difference: float, scale: float) -> float:
    """Return difference / scale; 0 if the difference is 0, and infinity if the quotient is not finite."""
    if difference == 0:
        return 0.0
    quotient = difference / scale if scale else math.inf
    return quotient if math.isfinite(quotient) else math.inf


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    if not one:
        return 0.0
    return float(torch.stack([(a - b).float().norm() for a, b in zip(one, other, strict=True)]).norm())


def _float_tensors(networks: Mapping[str, nn.Module]) -> dict[str, list[Tensor]]:
    """Return copies of each network's trained parameters and, separately, of its statistics."""
    found: dict[str, list[Tensor]] = {}
    for name, network in networks.items():
        found[name] = [p.detach().clone() for p in network.parameters() if p.requires_grad]
        found[f"{name} (statistics)"] = [b.clone() for b in network.buffers() if b.is_floating_point()]
    return found


def _integer_buffers(networks: Mapping[str, nn.Module]) -> dict[str, list[Tensor]]:
    """Return copies of each network's integer buffers, under the keys of `_float_tensors`."""
    found: dict[str, list[Tensor]] = {}
    for name, network in networks.items():
        found[name] = [b.clone() for b in network.buffers() if not b.is_floating_point()]
        found[f"{name} (statistics)"] = []
    return found
