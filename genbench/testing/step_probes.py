"""Watching a step: what memory it keeps, which gradients reach whom."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from genbench.api.training import Objective, Phase
from genbench.measure.op_counts import MemoryCounter
from genbench.measure.op_listener import OpListener
from genbench.train.engine import Engine


class Gradients:
    """An engine's observer: which parameters each phase gives a gradient."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = networks
        self.reached: dict[str, Tensor | None] = {}  # trained parameter -> its gradient, the last that was not zero
        self.not_finite: list[str] = []
        self.crossed: list[str] = []  # 'phase: parameter' of networks that the phase does not train

    @contextmanager
    def updating(self, phase: Phase) -> Iterator[None]:
        """Forget the gradients of networks that this phase does not train."""
        for _, parameter in self._others(phase):
            parameter.grad = None
        yield

    def gradients(self, phase: Phase, objective: Objective) -> None:
        """Look at all gradients."""
        self.crossed += [f"{phase.name}: {name}" for name, p in self._others(phase) if p.grad is not None]
        for name, parameter in self._of(phase.networks):
            gradient = parameter.grad
            if gradient is None:
                continue
            if not bool(gradient.isfinite().all()):
                self.not_finite.append(f"{phase.name}: {name}")
            elif self.reached.get(name) is None or not bool(self.reached[name].any()):  # type: ignore[union-attr]
                self.reached[name] = gradient.detach().clone()

    def idle(self) -> list[str]:
        """Return the trainable parameters that no phase gave a gradient other than zero.

        A single number may have one of exactly zero, as the last bias of a critic that sees differences of logits.
        """
        found = []
        for name, parameter in self._of(tuple(self.networks)):
            gradient = self.reached.get(name)
            moves = gradient is not None and (bool(gradient.any()) or gradient.numel() == 1)
            if parameter.requires_grad and not moves:
                found.append(name)
        return found

    def _of(self, networks: tuple[str, ...]) -> list[tuple[str, nn.Parameter]]:
        return [(f"{n}.{key}", p) for n in networks for key, p in self.networks[n].named_parameters()]

    def _others(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        return self._of(tuple(name for name in self.networks if name not in phase.networks))


def bytes_kept(engine: Engine, steps: int) -> int:
    """Return how many bytes that are allocated in so many steps are in use afterwards."""
    live = MemoryCounter()
    with OpListener(live.operation):
        for _ in range(steps):
            engine.step()
    engine.read_terms()
    gc.collect()
    return live.now
