"""Rules of persistence: weights and checkpoints are complete."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject, rng
from genbench.train.checkpoint import load_checkpoint, save_checkpoint, save_weights
from genbench.train.engine import Engine
from genbench.train.transfer import load_initial

TRAINED = ("finite-steps",)
STEPS = 3


@check(
    "save-and-load",
    "models",
    what="A new build with the saved weights generates the samples of the trained model, whatever the global seeds.",
    why="`genbench sample` and the metrics of the best weights use only the saved weights of a model.",
    fix="Keep everything that samples depend on in parameters and buffers; draw from the generator given to `sample`.",
    after=TRAINED,
)
def save_and_load(subject: Subject) -> None:
    """Train, save, load into another build, and sample both."""
    trained, fresh = subject.cell(seed=1), subject.cell(seed=2)
    if not any(len(network.state_dict()) for network in trained.engine.networks.values()):
        raise NotApplicable("it has no weights")
    for _ in range(2):
        trained.engine.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.safetensors")
        save_weights(path, trained.engine.networks, {})
        report = load_initial(fresh.engine.networks, path)
    if report.missing or report.mismatched:
        raise RuleViolation(f"a weight is not restored: {(*report.missing, *report.mismatched)[0]}")
    samples = [_sample(subject, built.engine.networks, seed) for seed, built in enumerate((trained, fresh))]
    if not torch.equal(*samples):
        raise RuleViolation(f"samples differ by up to {float((samples[0] - samples[1]).abs().max()):.3g}")


@check(
    "resume",
    *("models", "losses", "families"),
    what=f"{STEPS} steps, a checkpoint and {STEPS} more in a new build equal {2 * STEPS} steps, bit for bit.",
    why="A run that is interrupted and resumed must give the same results as one that is not.",
    fix="Keep counters and averages in buffers (of a loss: those of its `module`), not in Python attributes; use "
    "`batch.progress` for schedules.",
    after=TRAINED,
)
def resume(subject: Subject) -> None:
    """Continue twice from the same point."""
    uninterrupted = subject.cell(seed=1).engine
    _train(uninterrupted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "resume.safetensors")
        save_checkpoint(path, uninterrupted, {}, {})
        _train(uninterrupted)
        resumed = subject.cell(seed=1).engine
        try:
            load_checkpoint(path, resumed)
        except ValueError as error:
            raise RuleViolation(f"the checkpoint cannot be loaded: {error}") from error
    _train(resumed)
    for name, network in uninterrupted.networks.items():
        other = resumed.networks[name].state_dict()
        for key, tensor in network.state_dict().items():
            if isinstance(tensor, Tensor) and not torch.equal(tensor, other[key]):
                raise RuleViolation(f"{name}.{key} is different after resuming")


def _train(engine: Engine) -> None:
    for _ in range(STEPS):
        engine.step()
    engine.read_terms()


def _sample(subject: Subject, networks: dict[str, nn.Module], seed: int) -> Tensor:
    for network in networks.values():
        network.eval()
    torch.manual_seed(seed)
    with torch.no_grad():
        return subject.create_family(networks).sample(4, rng(), subject.labels(4))
