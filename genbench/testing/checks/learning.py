"""Rules of training: repeatable, complete, no gradient leaks, both precisions, bounded memory."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.training import ScheduledNetwork
from genbench.testing.check import check
from genbench.testing.findings import RuleViolation
from genbench.testing.step_probes import GradientProbe, bytes_retained
from genbench.testing.subject import BATCH, TRAINING_IMAGES, Subject, copy_weights
from genbench.train.builder import Built

TRAINED = ("finite-steps",)
EPOCH = TRAINING_IMAGES // BATCH  # steps, after which the images are shuffled again
TOLERANCE = 0.1  # of bf16 relative to fp32, or absolute


@check(
    "seeded",
    *("models", "losses", "families"),
    what="The seed determines the initial weights and two steps, bit for bit; another seed gives other weights.",
    why="Otherwise results cannot be reproduced, and the spread over seeds means nothing.",
    fix="Use torch's initialisers in `build`, draw from `batch.rng` in objectives, and never seed or read the clock.",
    after=TRAINED,
)
def seeded(subject: Subject) -> None:
    """Train twice with one seed, and build with another."""
    first, first_trained = _weights_before_and_after(subject, 5)
    again, again_trained = _weights_before_and_after(subject, 5)
    other = _weights(subject.cell(seed=6))
    different = _different(first, again)
    if different:
        raise RuleViolation(f"two builds with the same seed differ in {different[0]}")
    different = _different(first_trained, again_trained)
    if different:
        raise RuleViolation(f"two trainings with the same seed differ in {different[0]} after two steps")
    if first and not _different(first, other):
        raise RuleViolation(
            "builds with the seeds 5 and 6 have the same weights: the code sets a seed, or draws no random numbers"
        )


@check(
    "every-parameter-trains",
    *("models", "losses", "families"),
    what="For every image shape, every trainable parameter receives a finite, non-zero gradient within two steps, or "
    "within the budget if a network has `set_progress`.",
    why="A parameter that is never updated costs time and memory, and is counted, but does nothing.",
    fix="Use the parameter, remove it, or call requires_grad_(False); look for detach() and no_grad() after it.",
    after=TRAINED,
)
def every_parameter_trains(subject: Subject) -> None:
    """Look at the gradients of two steps, and of all steps of a small budget where networks follow a schedule."""
    for shape in subject.shapes:
        engine = subject.cell(shape).engine
        probe = GradientProbe(engine.networks)
        engine.observer = probe
        for _ in range(2):
            engine.step()
        if any(isinstance(network, ScheduledNetwork) for network in engine.networks.values()):
            while engine.images_seen < engine.budget:
                engine.step()
        if probe.not_finite:
            raise RuleViolation(f"for images {shape} a gradient is not finite: {probe.not_finite[0]}")
        untrained = probe.without_gradient()
        if untrained:
            raise RuleViolation(f"for images {shape} there is no gradient in {', '.join(untrained[:3])}")


@check(
    "no-gradient-crosses",
    *("models", "losses", "families"),
    what="In each phase, only the networks that it trains receive a gradient.",
    why="A gradient that leaks to the other network trains it for the wrong objective, or wastes time.",
    fix="Detach fakes in the discriminator's phase, list passed-through networks in `Phase.frozen`, share no modules.",
    after=TRAINED,
)
def no_gradient_crosses(subject: Subject) -> None:
    """Look at the gradients of the other networks."""
    engine = subject.cell().engine
    probe = GradientProbe(engine.networks)
    engine.observer = probe
    engine.step()
    if probe.leaked:
        raise RuleViolation(f"a network that the phase does not train gets a gradient: {', '.join(probe.leaked[:3])}")


@check(
    "bf16",
    *("models", "losses", "families"),
    what="A step with bf16 autocast runs and gives nearly the same losses as in fp32.",
    why="GPUs are normally used with --precision bf16; a model that does not support it is compared at half its speed.",
    fix="Compute sensitive parts inside torch.autocast(..., enabled=False), on tensors converted with .float().",
    after=TRAINED,
)
def bf16(subject: Subject) -> None:
    """Take the same step in both precisions."""
    cells = [subject.cell(precision=precision) for precision in ("fp32", "bf16")]
    copy_weights(*cells)
    exact, rounded = map(_totals, cells)
    for phase, total in exact.items():
        difference = abs(rounded[phase] - total)
        if not difference <= max(TOLERANCE, TOLERANCE * abs(total)):
            raise RuleViolation(
                f"the loss of the phase '{phase}' is {total:.4g} in fp32 and {rounded[phase]:.4g} in bf16"
            )


@check(
    "bounded-memory",
    *("models", "losses", "families"),
    what=f"After {3 * EPOCH} steps no more memory is in use than after {EPOCH}.",
    why="A run takes thousands of steps: growing memory slows it down and ends the cell as `oom`.",
    fix="Do not keep tensors across steps, in lists or in running sums; or detach them and keep a fixed number.",
    after=TRAINED,
)
def bounded_memory(subject: Subject) -> None:
    """Count the bytes that are allocated and not freed."""
    engine = subject.cell().engine
    engine.step()
    few, many = bytes_retained(engine, EPOCH), bytes_retained(engine, 3 * EPOCH)
    if many > few:
        raise RuleViolation(f"{2 * EPOCH} more steps retain {many - few:,} more bytes")


def _totals(built: Built) -> dict[str, float]:
    torch.manual_seed(1)  # for dropout
    built.engine.step()
    terms = built.engine.read_terms()
    return {p.phase.name: float(terms[p.phase.name][0]) for p in built.engine.players if p.phase.name in terms}


def _weights(built: Built) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor.detach().clone()
        for name, network in built.engine.networks.items()
        for key, tensor in network.state_dict().items()
        if isinstance(tensor, Tensor)
    }


def _weights_before_and_after(subject: Subject, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    built = subject.cell(seed=seed)
    before = _weights(built)
    for _ in range(2):
        built.engine.step()
    return before, _weights(built)


def _different(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in one.items() if name not in other or not torch.equal(tensor, other[name])]
