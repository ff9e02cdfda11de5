"""Whether an execution trains as the eager one does in fp32: the same 20 steps from the same state, compared.

Both are given the same images and random numbers, so exact arithmetic would give the same losses and parameters. What
is compared:

- each phase's loss, update by update: the greatest difference over the greatest absolute value of the eager losses;
- the same of the first update alone, in which nothing has added up yet;
- for each network, its trained parameters and its statistics (the floating-point buffers: those of batch norm, say):
  |θ' - θ| / |θ - θ₀|, the distance between both ends over the length of the eager way, in the L2 norm of all tensors
  together. The norm is one for all of them because some have no gradient but rounding errors, such as a bias before
  batch norm: Adam moves them as far as any other, in directions that are noise, but they are few;
- the lengths of the ways: | |θ' - θ₀| / |θ - θ₀| - 1 |;
- what is counted in whole numbers, which must be the same.

So a learning rate that is a tenth too high shows as 0.1, and a network that is not trained as 1.

How far rounding alone leads depends on the model: Adam takes steps of the same length wherever a small gradient points
to, so that the generator of an InfoGAN whose initial weights differ in the last digit ends as far from the other end as
it has come, and a VAE's at the same place. Therefore eager walks a second time from weights that are rounded otherwise,
or in the engine's precision where that is not fp32. An engine may deviate `FURTHER` times as much as this shadow does,
or as much as `TOLERANCES` say, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.measure.clock import synchronise
from genbench.results.schema import EngineBound, EngineCheck
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.state import state_kept

STEPS = 20
LARGEST = 1e300  # in place of infinity, which JSON does not know


@dataclass(frozen=True)
class Deviation:
    """How far one way is from another; infinite where one is not finite, or whole numbers differ."""

    first_losses: float
    losses: float
    parameters: float
    lengths: float
    of: Mapping[str, str] = field(default_factory=dict)  # by deviation: the phase or network that deviates most


WHATS: tuple[Literal["first_losses", "losses", "parameters", "lengths"], ...] = (
    "first_losses",
    "losses",
    "parameters",
    "lengths",
)
# With these deviations any execution still counts as the same training. They are a few times those of the well-behaved
# built-in models, as benchmarks/engine_equivalence.py measures them, and below what faults cause (see the tests).
TOLERANCES = {
    "fp32": Deviation(first_losses=3e-4, losses=5e-3, parameters=0.05, lengths=0.01),
    "tf32": Deviation(first_losses=2e-3, losses=1e-2, parameters=0.1, lengths=0.02),
    "bf16": Deviation(first_losses=1e-2, losses=2e-2, parameters=0.1, lengths=0.02),
}
FURTHER = 3.0
ROUNDING = 2.0**-23  # the distance from 1 to the next number in fp32


@dataclass(frozen=True)
class Way:
    """What some steps did."""

    losses: dict[str, Tensor]  # by phase, (updates,)
    start: dict[str, list[Tensor]]  # by network: its trained parameters, then its statistics
    end: dict[str, list[Tensor]]
    counted: dict[str, list[Tensor]]  # by network: the whole numbers at the end


@dataclass(frozen=True)
class EagerWays:
    """What an execution is held to."""

    reference: Way  # in fp32
    shadow: Way  # in the engine's precision; where that is fp32, from weights that are rounded otherwise


def walk(engine: Engine, execution: Execution, precision: str = "", steps: int = STEPS, rounded: bool = False) -> Way:
    """Take some steps from where the engine is, and put everything back.

    Args:
        execution: executes them, in the place of the engine's own.
        precision: in the place of the engine's own; empty: that one.
        steps: how many. In the first of them every phase is due.
        rounded: begin with trained parameters that are changed in their last digit.
    """
    own = engine.execution, engine.precision
    with state_kept(engine), _rounding(precision):
        if rounded:
            _round_otherwise(engine)
        start = _floats(engine.networks)
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
        return Way(losses, start, _floats(engine.networks), _whole(engine.networks))


def deviation(way: Way, reference: Way) -> Deviation:
    """Compare two ways from the same start."""
    found: dict[str, dict[str, float]] = {what: {} for what in WHATS}
    for name, series in reference.losses.items():
        scale = float(series.abs().max())
        same = way.losses[name].shape == series.shape  # else there were more updates, or fewer
        differences = (way.losses[name] - series).abs() if same else torch.full((1,), math.inf)
        found["first_losses"][name] = _ratio(float(differences[0]), scale)
        found["losses"][name] = _ratio(float(differences.max()), scale)
    for name, start in reference.start.items():
        same = all(torch.equal(a, b) for a, b in zip(way.counted[name], reference.counted[name], strict=True))
        moved, other = _distance(reference.end[name], start), _distance(way.end[name], way.start[name])
        found["parameters"][name] = _ratio(_distance(way.end[name], reference.end[name]) if same else math.inf, moved)
        found["lengths"][name] = _ratio(abs(other - moved), moved)
    worst = {what: max(values, key=values.__getitem__) for what, values in found.items()}
    return Deviation(**{what: found[what][name] for what, name in worst.items()}, of=worst)


def eager_ways(engine: Engine) -> EagerWays:
    """Return what an execution of this engine is held to, from where the engine is."""
    eager = Eager()
    exact = engine.precision == "fp32"
    return EagerWays(walk(engine, eager, "fp32"), walk(engine, eager, engine.precision, rounded=exact))


def compare(engine: Engine, execution: Execution, eager: EagerWays) -> EngineCheck:
    """Walk with an execution and compare it with the eager ways from the same place."""
    found = deviation(walk(engine, execution), eager.reference)
    shadow = deviation(eager.shadow, eager.reference)
    least = TOLERANCES[engine.precision]
    bounds = [
        EngineBound(
            what=what,
            of=found.of[what],
            found=min(getattr(found, what), LARGEST),
            tolerance=min(max(getattr(least, what), FURTHER * getattr(shadow, what)), LARGEST),
            shadow=min(getattr(shadow, what), LARGEST),
        )
        for what in WHATS
    ]
    return EngineCheck(steps=STEPS, precision=engine.precision, bounds=bounds)


def _round_otherwise(engine: Engine) -> None:
    """Change each trained parameter by up to the distance to the next number."""
    rng = torch.Generator(engine.rng.device).manual_seed(0)
    with torch.no_grad():
        for network in engine.networks.values():
            for parameter in network.parameters():
                if parameter.requires_grad:
                    change = torch.rand(parameter.shape, generator=rng, device=rng.device).mul_(2).sub_(1)
                    parameter.mul_(change.mul_(ROUNDING).add_(1))


@contextmanager
def _rounding(precision: str) -> Iterator[None]:
    """Let matrix products of a GPU round as the precision says; an empty one changes nothing."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        if precision:
            products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def _ratio(apart: float, scale: float) -> float:
    """Return the quotient; 0 for the same, whatever the scale, and infinity where it is no number."""
    if apart == 0:
        return 0.0
    quotient = apart / scale if scale else math.inf
    return quotient if math.isfinite(quotient) else math.inf


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    if not one:
        return 0.0
    return float(torch.stack([(a - b).float().norm() for a, b in zip(one, other, strict=True)]).norm())


def _floats(networks: Mapping[str, nn.Module]) -> dict[str, list[Tensor]]:
    """Return copies of each network's trained parameters, and of its statistics apart."""
    found: dict[str, list[Tensor]] = {}
    for name, network in networks.items():
        found[name] = [p.detach().clone() for p in network.parameters() if p.requires_grad]
        found[f"{name} (statistics)"] = [b.clone() for b in network.buffers() if b.is_floating_point()]
    return found


def _whole(networks: Mapping[str, nn.Module]) -> dict[str, list[Tensor]]:
    return {
        found: [b.clone() for b in network.buffers() if not b.is_floating_point()] if found == name else []
        for name, network in networks.items()
        for found in (name, f"{name} (statistics)")
    }
