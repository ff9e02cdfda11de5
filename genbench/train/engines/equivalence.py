"""Whether an execution trains as the eager one does: the same 20 steps from the same state, compared.

Both are given the same images and random numbers, so exact arithmetic would give the same losses and parameters. What
is compared:

- each phase's loss, update by update: the greatest difference over the greatest absolute value of the eager losses;
- for each network, its trained parameters and its statistics (the floating-point buffers: those of batch norm, say):
  |θ' - θ| / |θ - θ₀|, the distance between both ends over the length of the eager way, in the L2 norm of all tensors
  together. The norm is one for all of them because some have no gradient but rounding errors, such as a bias before
  batch norm: Adam moves them as far as any other, in directions that are noise, but they are few;
- what is counted in whole numbers must be the same.

So a learning rate that is a tenth too high shows as 0.1, and a network that is not trained as 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbench.measure.clock import synchronise
from genbench.results.schema import EngineCheck
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.state import state_kept

STEPS = 20
LARGEST = 1e300  # in place of infinity, which JSON does not know


@dataclass(frozen=True)
class Tolerance:
    """The greatest deviations with which an execution still counts as the same training."""

    losses: float
    parameters: float


# A few times the greatest deviation over all built-in models, as benchmarks/engine_equivalence.py measures them, and
# below what deliberate faults cause (see the tests).
SAME_PRECISION = {"fp32": Tolerance(1e-3, 0.05), "bf16": Tolerance(0.1, 0.5)}
FROM_FP32 = {"bf16": Tolerance(0.1, 0.6)}


@dataclass(frozen=True)
class Way:
    """What some steps did."""

    losses: dict[str, Tensor]  # by phase, (updates,)
    start: dict[str, list[Tensor]]  # by network: its trained parameters, then its statistics
    end: dict[str, list[Tensor]]
    counted: dict[str, list[Tensor]]  # by network: the whole numbers at the end


@dataclass(frozen=True)
class Deviation:
    """How far one way is from another; infinite where one is not finite, or whole numbers differ."""

    losses: float
    parameters: float
    of_loss: str = ""  # the phase that deviates most
    of_network: str = ""

    def within(self, tolerance: Tolerance) -> bool:
        """Whether both deviations are."""
        return self.losses <= tolerance.losses and self.parameters <= tolerance.parameters


def walk(engine: Engine, execution: Execution, precision: str = "", steps: int = STEPS) -> Way:
    """Take some steps from where the engine is, and put everything back.

    Args:
        execution: executes them, in the place of the engine's own.
        precision: in the place of the engine's own; empty: that one.
        steps: how many. In the first of them every phase is due.
    """
    before = engine.execution, engine.precision
    with state_kept(engine):
        start = _floats(engine.networks)
        engine.step_number = 0
        engine.execution, engine.precision = execution, precision or engine.precision
        try:
            for _ in range(steps):
                engine.step()
            synchronise(engine.rng.device)
        finally:
            engine.execution, engine.precision = before
        read = engine.read_terms()
        losses = {player.phase.name: read[player.phase.name] for player in engine.players}
        return Way(losses, start, _floats(engine.networks), _whole(engine.networks))


def deviation(way: Way, reference: Way) -> Deviation:
    """Compare two ways from the same start."""
    losses = {name: _of_loss(way.losses[name], series) for name, series in reference.losses.items()}
    networks = {}
    for name, start in reference.start.items():
        same = all(torch.equal(a, b) for a, b in zip(way.counted[name], reference.counted[name], strict=True))
        apart = _distance(way.end[name], reference.end[name]) if same else math.inf
        networks[name] = _ratio(apart, _distance(reference.end[name], start))
    of_loss = max(losses, key=losses.__getitem__, default="")
    of_network = max(networks, key=networks.__getitem__, default="")
    return Deviation(losses.get(of_loss, 0.0), networks.get(of_network, 0.0), of_loss, of_network)


def references(engine: Engine) -> dict[str, Way]:
    """Return the eager ways that others are held to: in the engine's precision and, where that is another, in fp32."""
    return {precision: walk(engine, Eager(), precision) for precision in dict.fromkeys((engine.precision, "fp32"))}


def compare(engine: Engine, execution: Execution, eager: Mapping[str, Way]) -> list[EngineCheck]:
    """Walk with an execution, and compare with each of the eager ways, by precision."""
    way = walk(engine, execution)
    checks = []
    for precision, reference in eager.items():
        found = deviation(way, reference)
        tolerance = SAME_PRECISION[precision] if precision == engine.precision else FROM_FP32[engine.precision]
        checks.append(
            EngineCheck(
                against=f"eager {precision}",
                steps=STEPS,
                losses=min(found.losses, LARGEST),
                losses_tolerance=tolerance.losses,
                parameters=min(found.parameters, LARGEST),
                parameters_tolerance=tolerance.parameters,
                of_loss=found.of_loss,
                of_network=found.of_network,
                passed=found.within(tolerance),
            )
        )
    return checks


def _of_loss(series: Tensor, reference: Tensor) -> float:
    if series.shape != reference.shape:  # more updates, or fewer
        return math.inf
    return _ratio(float((series - reference).abs().max()), float(reference.abs().max()))


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
