"""Where a training went wrong: the first step, and the first parameter, whose gradient is not finite.

A window is not looked into while it is timed, so a divergence is seen at its end, when every parameter may be NaN
already. The steps are repeated from the last checkpoint (or from the start), off the clock and with a look at every
gradient; on a CPU they are the same to the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from genbench.api.training import Objective, Phase
from genbench.train.engine import Engine

LONGEST = 60.0  # seconds that the search may take


FURTHER = 50  # steps beyond the first bad loss in which a gradient is looked for that is not finite either


class _Found(Exception):
    pass


class _GradientCheck:
    """An engine's observer that stops it at the first gradient that is not finite, and notes the first such loss."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks
        self.bad_loss = ""  # the phase whose loss was the first not to be finite

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
    """Repeat the training and return, in words, the first bad step and parameter.

    Args:
        rebuild: returns the engine as it was at the last checkpoint, or at the start.
        until_step: where the loss, or a parameter, was seen not to be finite.
        clock: seconds.
    """
    engine = rebuild()
    engine.observer = check = _GradientCheck(engine.networks)
    begin, loss_step = clock(), 0
    while engine.step_number < until_step + FURTHER:
        step = engine.step_number + 1
        if clock() - begin > LONGEST:
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
    return f"repeating the steps up to {engine.step_number} showed no gradient that is not finite"


class Diverged(Exception):
    """A loss, a parameter or a generated image is not finite any more; `step` is the first bad one where known."""

    def __init__(self, text: str, step: int | None = None) -> None:
        super().__init__(text)
        self.step = step
