"""The eager engine: runs a step of a family's phases, and never waits for the device.

Other engines (compiled, graphed) will run the same phases; each must follow this one at the same seed.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from genbench.exchange import Augmentation, Batch, Objective, Phase
from genbench.train.ema import AveragedWeights
from genbench.train.source import TrainingImages


@dataclass(frozen=True)
class UpdateRules:
    """What happens to gradients and learning rates, beside the optimiser itself."""

    clip_gradient: float = 0.0  # greatest norm of a phase's gradient; 0: not clipped
    add_gradients: Callable[[Phase], None] | None = None  # regularisers that are known by their gradient
    schedule: Callable[[int], None] | None = None  # sets the learning rates, given the images consumed so far


class Observer(Protocol):
    """Looks into steps off the clock: counts operations, or finds where a gradient stops to be finite."""

    def updating(self, phase: Phase) -> AbstractContextManager[object]:
        """Return a context that surrounds one update of the phase."""

    def gradients(self, phase: Phase, objective: Objective) -> None:
        """Called between the backward pass and the optimiser's step."""


@dataclass
class _Player:
    """A phase with what its update touches, looked up once."""

    phase: Phase
    optimizer: torch.optim.Optimizer | None  # None: the phase has nothing to train
    parameters: list[nn.Parameter]
    frozen: list[nn.Parameter]
    updates: int = 0
    totals: list[Tensor] = field(default_factory=list)  # since the last reading; they stay on the device
    terms: defaultdict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))


class EagerEngine:
    """Trains networks by their phases: fresh images, objective, one backward pass, one optimiser step per phase."""

    name = "eager"

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        phases: Sequence[Phase],
        data: TrainingImages,
        rng: torch.Generator,
        optimizers: Mapping[str, torch.optim.Optimizer],
        precision: str = "fp32",
        average: AveragedWeights | None = None,
        budget: int = 1,
        rules: UpdateRules | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Put together what a step needs; `budget` is the number of images that make `Batch.progress` one."""
        self.networks = dict(networks)
        self.data = data
        self.rng = rng
        self.average = average
        self.augmentation = augmentation
        self.budget = budget
        self.step_number = 0  # steps done
        self.images_seen = 0
        self.observer: Observer | None = None
        self._rules = rules or UpdateRules()
        self._autocast = precision == "bf16"
        self._device_type = rng.device.type
        self._progress = torch.zeros((), device=rng.device)
        self.players = [
            _Player(
                phase,
                optimizers.get(phase.name),
                self._trainable(phase.networks),
                self._trainable(phase.frozen),
            )
            for phase in phases
        ]

    @property
    def images_per_step(self) -> int:
        """Real images that a step consumes when every phase runs."""
        fresh = 1 + sum(player.phase.repeats - 1 for player in self.players)
        return fresh * self.data.batch_size

    def step(self) -> None:
        """Run every phase that is due once; reads nothing on the host."""
        shared: dict[str, object] = {}
        if self._rules.schedule is not None:
            self._rules.schedule(self.images_seen)
        self._progress.fill_(self.images_seen / self.budget)
        images, labels = self.data.next_batch()
        draws = 1
        for player in self.players:
            phase = player.phase
            if self.step_number % phase.every:
                continue
            for repeat in range(phase.repeats):
                if repeat:
                    images, labels = self.data.next_batch()
                    draws += 1
                batch = Batch(images, labels, self.rng, repeat == phase.repeats - 1, shared, self._progress)
                with self.observer.updating(phase) if self.observer else contextlib.nullcontext():
                    self._update(player, batch)
        self.step_number += 1
        self.images_seen += draws * self.data.batch_size
        if self.average is not None:
            self.average.update(self.images_seen, self.images_per_step)

    def _update(self, player: _Player, batch: Batch) -> None:
        for parameter in player.frozen:
            parameter.requires_grad_(False)
        if self._autocast:
            with torch.autocast(self._device_type, torch.bfloat16):
                objective = player.phase.objective(batch)
        else:
            objective = player.phase.objective(batch)
        if player.optimizer is not None:
            player.optimizer.zero_grad(set_to_none=True)
            objective.total.backward()  # type: ignore[no-untyped-call]
            if self._rules.add_gradients is not None:
                self._rules.add_gradients(player.phase)
            if self.observer is not None:
                self.observer.gradients(player.phase, objective)
            if self._rules.clip_gradient:
                nn.utils.clip_grad_norm_(player.parameters, self._rules.clip_gradient, foreach=True)
            player.optimizer.step()
            player.updates += 1
            if player.phase.after_update is not None:
                player.phase.after_update()
        for parameter in player.frozen:
            parameter.requires_grad_(True)
        player.totals.append(objective.total.detach())
        for term, value in objective.terms.items():
            player.terms[term].append(value.detach())

    def read_terms(self) -> dict[str, Tensor]:
        """Return each term's values since the last call, (updates,) float32 on the host: the only synchronisation."""
        read: dict[str, Tensor] = {}
        for player in self.players:
            name = player.phase.name
            series = {name: player.totals} | {f"{name}.{term}": values for term, values in player.terms.items()}
            read |= {key: torch.stack(values).float().cpu() for key, values in series.items() if values}
            player.totals, player.terms = [], defaultdict(list)
        return read

    def gradient_norms(self) -> dict[str, float]:
        """Return the L2 norm of each network's gradient as the last step left it; waits for the device."""
        norms: dict[str, float] = {}
        for name, network in self.networks.items():
            gradients = [p.grad.float() for p in network.parameters() if p.grad is not None]
            if gradients:
                norms[name] = float(torch.stack(torch._foreach_norm(gradients)).norm())
        return norms

    def _trainable(self, networks: Sequence[str]) -> list[nn.Parameter]:
        return [p for name in networks for p in self.networks[name].parameters() if p.requires_grad]
