"""Locating a divergence: the first step, and the first parameter, with a gradient that is not finite.

Nothing is read inside a timed window, so a divergence is noticed only at its end, when every parameter may already be
NaN. The steps are repeated from the last checkpoint (or from the start), off the clock, with a check of every gradient;
on a CPU they are bitwise identical.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from genbench.api.training import Objective, Phase
from genbench.train.engine import Engine

MAX_SECONDS = 60.0  # of the search
EXTRA_STEPS = 50  # to search, after the first bad loss, for a gradient that is not finite either


class _Found(Exception):
    pass


class _GradientCheck:
    """An observer that stops the engine at the first gradient that is not finite, and records the first such loss."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks
        self.bad_loss = ""  # the phase with the first loss that is not finite

    def updating(self, phase: Phase) -> AbstractContextManager[object]:
        return nullcontext()

    def gradients(self, phase: Phase, objective: Objective) -> None:
        if not self.bad_loss and not bool(objective.total.isfinite()):
            self.bad_loss = phase.name
        for name in phase.networks:
            for parameter_name, parameter in self._networks[name].named_parameters():
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    raise _Found(f"the gradient of {name}.{parameter_name} in phase '{phase.name}'")


def locate(rebuild: Callable[[], Engine], until_step: int, clock: Callable[[], float] = time.monotonic) -> str:
    """Repeat the training and describe the first bad step and parameter.

    Args:
        rebuild: returns the engine as it was at the last checkpoint, or at the start.
        until_step: the step after which a loss or a parameter was found not to be finite.
        clock: returns seconds.
    """
    engine = rebuild()
    engine.observer = check = _GradientCheck(engine.networks)
    begin, loss_step = clock(), 0
    while engine.step_number < until_step + EXTRA_STEPS:
        step = engine.step_number + 1
        if clock() - begin > MAX_SECONDS:
            break
        try:
            engine.step()
        except _Found as found:
            first = f"first bad step {loss_step or step}: "
            if loss_step:
                return f"{first}the loss of phase '{check.bad_loss}'; then, in step {step}, {found}"
            return f"{first}{found}"
        if check.bad_loss and not loss_step:
            loss_step = step
    if loss_step:
        return f"first bad step {loss_step}: the loss of phase '{check.bad_loss}', while all gradients were finite"
    return f"all gradients were finite when the steps up to {engine.step_number} were repeated"


class Diverged(Exception):
    """A loss, a parameter or a generated image is not finite; `step` is the first bad step, if known."""

    def __init__(self, text: str, step: int | None = None) -> None:
        super().__init__(text)
        self.step = step
