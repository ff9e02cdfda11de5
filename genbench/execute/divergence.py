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

from genbench.exchange import Objective, Phase
from genbench.train.engine import EagerEngine

LONGEST = 60.0  # seconds that the search may take


class _Found(Exception):
    pass


class _GradientCheck:
    """An engine's observer that stops it at the first gradient, or loss, that is not finite."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks

    def updating(self, phase: Phase) -> AbstractContextManager[object]:
        return nullcontext()

    def gradients(self, phase: Phase, objective: Objective) -> None:
        for name in phase.networks:
            for parameter_name, parameter in self._networks[name].named_parameters():
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    where = f"the gradient of {name}.{parameter_name}, in phase '{phase.name}'"
                    if bool(objective.total.isfinite()):
                        raise _Found(f"{where}, is the first that is not finite, while the loss still is")
                    raise _Found(f"{where}, is the first that is not finite")
        if not bool(objective.total.isfinite()):
            raise _Found(f"the loss of phase '{phase.name}' is not finite, its gradients are")


def locate(rebuild: Callable[[], EagerEngine], until_step: int, clock: Callable[[], float] = time.monotonic) -> str:
    """Repeat the training and return, in words, the first bad step and parameter.

    Args:
        rebuild: returns the engine as it was at the last checkpoint, or at the start.
        until_step: where the loss, or a parameter, was seen not to be finite.
        clock: seconds.
    """
    engine = rebuild()
    engine.observer = _GradientCheck(engine.networks)
    begin = clock()
    while engine.step_number <= until_step:
        if clock() - begin > LONGEST:
            return f"no gradient was found that is not finite up to step {engine.step_number}, where the search ended"
        try:
            engine.step()
        except _Found as found:
            return f"first bad step {engine.step_number + 1}: {found}"
    return "repeating the steps showed no gradient that is not finite: the failure does not repeat"
