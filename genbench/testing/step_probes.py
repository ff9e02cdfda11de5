"""Observing a training step: the memory it retains, and which parameters receive gradients."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from genbench.api.training import Objective, Phase
from genbench.measure.op_counts import MemoryCounter
from genbench.measure.op_listener import OpListener
from genbench.train.engine import Engine


class GradientProbe:
    """An engine's observer that records which parameters receive a gradient in each phase."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = networks
        self.received: dict[str, Tensor] = {}  # trained parameter -> its first non-zero gradient, or the last zero one
        self.not_finite: list[str] = []
        self.leaked: list[str] = []  # 'phase: parameter', for networks that the phase does not train

    @contextmanager
    def updating(self, phase: Phase) -> Iterator[None]:
        """Clear the gradients of networks that this phase does not train."""
        for _, parameter in self._untrained_by(phase):
            parameter.grad = None
        yield

    def gradients(self, phase: Phase, objective: Objective) -> None:
        """Record the gradients of all networks."""
        self.leaked += [f"{phase.name}: {name}" for name, p in self._untrained_by(phase) if p.grad is not None]
        for name, parameter in self._parameters(phase.networks):
            gradient = parameter.grad
            if gradient is None:
                continue
            earlier = self.received.get(name)
            if not bool(gradient.isfinite().all()):
                self.not_finite.append(f"{phase.name}: {name}")
            elif earlier is None or not bool(earlier.any()):
                self.received[name] = gradient.detach().clone()

    def without_gradient(self) -> list[str]:
        """Return the trainable parameters that received no non-zero gradient in any phase.

        A parameter with a single value may have a gradient of exactly zero: for example, the last bias of a critic
        whose loss depends only on differences of logits.
        """
        found = []
        for name, parameter in self._parameters(tuple(self.networks)):
            gradient = self.received.get(name)
            trains = gradient is not None and (bool(gradient.any()) or gradient.numel() == 1)
            if parameter.requires_grad and not trains:
                found.append(name)
        return found

    def _parameters(self, networks: tuple[str, ...]) -> list[tuple[str, nn.Parameter]]:
        return [(f"{n}.{key}", p) for n in networks for key, p in self.networks[n].named_parameters()]

    def _untrained_by(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        return self._parameters(tuple(name for name in self.networks if name not in phase.networks))


def bytes_retained(engine: Engine, steps: int) -> int:
    """Run some steps; return how many of the bytes that they allocated are still in use afterwards."""
    live = MemoryCounter()
    with OpListener(live.operation):
        for _ in range(steps):
            engine.step()
    engine.read_terms()
    gc.collect()
    return live.now
