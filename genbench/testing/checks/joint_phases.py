"""The rule of phases that share a forward pass: the gradient of each is that of a pass of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from genbench.api.training import Objective, Phase
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject
from genbench.train.engine import Engine

TOLERANCE = 1e-4  # of the largest entry of a gradient: the order of summation differs


@check(
    "gradients-apart",
    *("models", "losses", "families"),
    what="The gradient of each phase of a shared forward pass (`Phase.joint`) equals that of a pass of its own.",
    why="Sharing a pass saves time; if a phase changes what an earlier one learns, it is another way of training.",
    fix="Change no shared tensor or its gradient (no hooks, no in-place operations) and no parameter in an objective.",
    after=("finite-steps",),
)
def gradients_apart(subject: Subject) -> None:
    """Compare the gradients of one step with those of steps that evaluate only what precedes each phase."""
    joint = [player.phase for player in subject.cell().engine.players if player.phase.joint]
    if not joint:
        raise NotApplicable("no phases share a forward pass")
    together = _gradients(subject.cell().engine)
    for phase in joint:
        engine = subject.cell().engine
        _leave_alone(engine, phase)
        alone = _gradients(engine)[phase.name]
        for name, gradient in alone.items():
            shared = together[phase.name].get(name)
            scale = max(1e-6, float(gradient.abs().max()))
            apart = float("inf") if shared is None else float((shared - gradient).abs().max())
            if apart > TOLERANCE * scale:
                raise RuleViolation(
                    f"in the phase '{phase.name}' the gradient of {name} differs by {apart:.3g} from that of a pass of "
                    f"its own, whose largest entry is {scale:.3g}"
                )


def _leave_alone(engine: Engine, phase: Phase) -> None:
    """Let the phases of its group that precede this one only be evaluated; remove those that follow it."""
    number = next(n for n, player in enumerate(engine.players) if player.phase.name == phase.name)
    engine.players = engine.players[: number + 1]
    for player in engine.players:
        if player.phase.joint == phase.joint:
            if player.phase.name != phase.name:
                player.optimizer = None
            player.phase = replace(player.phase, joint="")


def _gradients(engine: Engine) -> dict[str, dict[str, Tensor]]:
    """Return the gradients of one step by phase and parameter."""
    engine.observer = recorder = _Recorder(engine.networks)
    torch.manual_seed(1)  # for dropout
    engine.step()
    return recorder.found


class _Recorder:
    """An observer that keeps the gradients of each phase's own networks."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks
        self.found: dict[str, dict[str, Tensor]] = {}

    def updating(self, phase: Phase) -> AbstractContextManager[object]:
        """Do nothing."""
        return nullcontext()

    def gradients(self, phase: Phase, objective: Objective) -> None:
        """Copy the gradients."""
        self.found[phase.name] = {
            f"{network}.{name}": parameter.grad.clone()
            for network in phase.networks
            for name, parameter in self._networks[network].named_parameters()
            if parameter.grad is not None
        }
