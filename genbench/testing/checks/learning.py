"""Rules of learning: repeatable, complete, each player by itself, in both precisions, without end."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.testing.check import check
from genbench.testing.findings import RuleViolation
from genbench.testing.step_probes import Gradients, bytes_kept
from genbench.testing.subject import BATCH, TRAINING_IMAGES, Subject, copy_weights
from genbench.train.builder import Built

TRAINED = ("finite-steps",)
EPOCH = TRAINING_IMAGES // BATCH  # steps, after which the images are shuffled anew
CLOSE = 0.1  # bf16 against fp32, relative or absolute


@check(
    "seeded",
    *("models", "losses", "families"),
    what="A seed determines the first weights and two steps of training, to the bit; another seed gives other weights.",
    why="Otherwise no result can be repeated, and a spread over seeds means nothing.",
    mend="Draw from torch's initialisers in `build`, from `batch.rng` in objectives, and never seed or use the clock.",
    after=TRAINED,
)
def seeded(subject: Subject) -> None:
    """Train twice alike, and build with another seed."""
    first, first_trained = _weights_before_and_after(subject, 5)
    again, again_trained = _weights_before_and_after(subject, 5)
    other = _weights(subject.cell(seed=6))
    different = _different(first, again)
    if different:
        raise RuleViolation(f"two builds at the same seed differ in {different[0]}")
    different = _different(first_trained, again_trained)
    if different:
        raise RuleViolation(f"two trainings at the same seed differ in {different[0]} after two steps")
    if first and not _different(first, other):
        raise RuleViolation("builds at the seeds 5 and 6 have the same weights: something seeds anew, or draws nothing")


@check(
    "every-parameter-trains",
    *("models", "losses", "families"),
    what="For every image shape, every trainable parameter gets a finite gradient other than zero within two steps.",
    why="A parameter that never moves is dead weight: it is timed and counted, and does nothing.",
    mend="Use the parameter, remove it, or call requires_grad_(False); look for detach() and no_grad() on its way.",
    after=TRAINED,
)
def every_parameter_trains(subject: Subject) -> None:
    """Look at the gradients of two steps."""
    for shape in subject.shapes:
        engine = subject.cell(shape).engine
        gradients = Gradients(engine.networks)
        engine.observer = gradients
        for _ in range(2):
            engine.step()
        if gradients.not_finite:
            raise RuleViolation(f"for images {shape} a gradient is not finite: {gradients.not_finite[0]}")
        idle = gradients.idle()
        if idle:
            raise RuleViolation(f"for images {shape} there is no gradient in {', '.join(idle[:3])}")


@check(
    "no-gradient-crosses",
    *("models", "losses", "families"),
    what="In each phase only the networks that it trains get a gradient.",
    why="A gradient that leaks to the other player makes it help its opponent, or costs time for nothing.",
    mend="Detach fakes in the discriminator's phase, name what is passed through in `Phase.frozen`, share no module.",
    after=TRAINED,
)
def no_gradient_crosses(subject: Subject) -> None:
    """Look at the gradients of the other networks."""
    engine = subject.cell().engine
    gradients = Gradients(engine.networks)
    engine.observer = gradients
    engine.step()
    if gradients.crossed:
        raise RuleViolation(f"a gradient arrives where the phase trains nothing: {', '.join(gradients.crossed[:3])}")


@check(
    "bf16",
    *("models", "losses", "families"),
    what="A step under bf16 autocast works and comes close to the fp32 one.",
    why="--precision bf16 is how GPUs are used; a model that cannot do it is compared at half its speed.",
    mend="Compute what needs precision inside torch.autocast(..., enabled=False), on tensors made .float().",
    after=TRAINED,
)
def bf16(subject: Subject) -> None:
    """Take the same step twice."""
    cells = [subject.cell(precision=precision) for precision in ("fp32", "bf16")]
    copy_weights(*cells)
    exact, rounded = map(_totals, cells)
    for phase, total in exact.items():
        difference = abs(rounded[phase] - total)
        if not difference <= max(CLOSE, CLOSE * abs(total)):
            raise RuleViolation(f"the phase '{phase}' costs {total:.4g} in fp32 and {rounded[phase]:.4g} in bf16")


@check(
    "bounded-memory",
    *("models", "losses", "families"),
    what=f"{3 * EPOCH} steps leave no more memory in use than {EPOCH}.",
    why="A run has thousands of steps: what grows ends in `oom`, and slows the steps before.",
    mend="Keep no tensors across steps, in lists or in sums, or detach them and keep a fixed number.",
    after=TRAINED,
)
def bounded_memory(subject: Subject) -> None:
    """Count what is allocated and not given back."""
    engine = subject.cell().engine
    engine.step()
    few, many = bytes_kept(engine, EPOCH), bytes_kept(engine, 3 * EPOCH)
    if many > few:
        raise RuleViolation(f"{2 * EPOCH} more steps keep {many - few:,} more bytes")


def _totals(built: Built) -> dict[str, float]:
    torch.manual_seed(1)  # of dropout
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
