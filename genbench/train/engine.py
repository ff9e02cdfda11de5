"""The engine: a training step and its state. A step never synchronises with the device.

The execution of a step is exchangeable (`Execution`): eager here, compiled or as a replayed graph in `engines/`. All
run the same phases on the same state, and each must match the eager execution with the same seed.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from genbench.api.training import (
    Augmentation,
    Batch,
    Objective,
    Phase,
)
from genbench.data.source import TrainingImages
from genbench.measure.op_listener import OpListener
from genbench.train.ema import AveragedWeights
from genbench.train.loss_functions import ReplaceableFunction
from genbench.train.player import Player, passes


@dataclass(frozen=True)
class UpdateRules:
    """Changes to gradients and learning rates in addition to the optimiser."""

    clip_gradient: float = 0.0  # maximum norm of a phase's gradient; 0: no clipping
    add_gradients: Callable[[Phase], None] | None = None  # adds gradients that are known in closed form
    schedule: Callable[[int], None] | None = None  # sets the learning rates, given the images consumed so far


class Observer(Protocol):
    """Observes steps off the clock, for example to count operations or to find a gradient that is not finite."""

    def updating(self, phase: Phase) -> AbstractContextManager[object]:
        """Return a context for one update of the phase."""

    def gradients(self, phase: Phase, objective: Objective) -> None:
        """Called between the backward pass and the optimiser's step."""


class Execution:
    """How the phases of a step are executed."""

    name: str  # as in the recipe's field `engine`, or 'graph+compile'
    notes: Sequence[str] = ()  # for the notes of the cell, such as a network that could not be compiled
    uses_progress = True  # whether a step may read the progress of training, which is then written to the device

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Do the same as `engine.run_phases(due)`: draw batches and update each player."""
        raise NotImplementedError

    def deliver(self) -> None:
        """Store losses that only this execution holds so far where `run_phases` stores them."""

    def close(self) -> None:
        """Undo all changes made for this execution, so that another can replace it."""


class Eager(Execution):
    """One operation at a time, in program order: the reference for all other executions."""

    name = "eager"

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Run the phases."""
        engine.run_phases(due)


class Engine:
    """Trains networks by their phases: fresh images, objective, one backward pass, one optimiser step per phase.

    `execution` may be replaced between two steps; close the previous one first.
    """

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
        functions: Mapping[str, ReplaceableFunction] | None = None,
    ) -> None:
        """Create an engine.

        Args:
            budget: number of images at which `Batch.progress` reaches 1.
            functions: functions of the loss that an execution may replace, by name.
        """
        self.networks = dict(networks)
        self.data = data
        self.rng = rng
        self.average = average
        self.augmentation = augmentation
        self.functions = dict(functions or {})
        self.budget = budget
        self.step_number = 0  # steps done
        self.images_seen = 0
        self.observer: Observer | None = None
        self._execution: Execution = Eager()
        self.rules = rules or UpdateRules()
        self.precision = precision
        self._device_type = rng.device.type
        self.memory_format = torch.contiguous_format  # of networks and batches
        self.note_memory()
        self._progress = torch.zeros((), device=rng.device)
        self.players = [
            Player(
                phase,
                optimizers.get(phase.name),
                self._trainable(phase.networks),
                self._trainable(phase.frozen),
            )
            for phase in phases
        ]

    def note_memory(self) -> None:
        """Note the addresses of what steps change in place; to be called when a tensor of a network has moved."""
        held = [t for network in self.networks.values() for t in (*network.parameters(), *network.buffers())]
        self._changing = {t.untyped_storage().data_ptr() for t in held if t.numel()}

    @property
    def images_per_step(self) -> int:
        """Real images consumed by a step in which every phase runs."""
        fresh = 1 + sum(player.phase.repeats - 1 for player in self.players)
        return fresh * self.data.batch_size

    def counts_after(self, steps: int) -> tuple[int, dict[str, int]]:
        """Return the real images consumed, and the updates of each phase, after that many steps from the start."""
        draws, updates = steps, {}
        for player in self.players:
            runs = -(-steps // player.phase.every)  # it is due in steps 0, every, 2 every, …
            draws += runs * (player.phase.repeats - 1)
            updates[player.phase.name] = runs * player.phase.repeats if player.optimizer is not None else 0
        return draws * self.data.batch_size, updates

    def step(self) -> None:
        """Run every phase that is due; reads nothing on the host."""
        if self.rules.schedule is not None:
            self.rules.schedule(self.images_seen)
        if self.execution.uses_progress:
            self.write_progress()
        due = [player for player in self.players if self.step_number % player.phase.every == 0]
        self.execution.run(self, due)
        draws = 1
        for player in due:
            draws += player.phase.repeats - 1
            player.updates += player.phase.repeats if player.optimizer is not None else 0
        self.step_number += 1
        self.images_seen += draws * self.data.batch_size
        if self.average is not None:
            self.average.update(self.images_seen, self.images_per_step)

    @property
    def execution(self) -> Execution:
        """How steps are executed."""
        return self._execution

    @execution.setter
    def execution(self, other: Execution) -> None:
        self._execution.deliver()
        self._execution = other

    def write_progress(self) -> None:
        """Write the share of the budget that is consumed to `Batch.progress`, on the device."""
        self._progress.fill_(self.images_seen / self.budget)

    def reads_progress(self, due: Sequence[Player]) -> bool:
        """Whether these phases read `Batch.progress`; they are run once, eagerly."""
        memory, read = self._progress.untyped_storage().data_ptr(), False

        def listen(func: object, args: object, kwargs: object, result: object) -> None:
            nonlocal read
            tensors = (value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor))
            read = read or any(tensor.untyped_storage().data_ptr() == memory for tensor in tensors)

        with OpListener(listen):
            self.run_phases(due)
        return read

    def run_phases(self, due: Sequence[Player]) -> None:
        """Draw batches and update the players: everything a step does on the device, except averaging the weights.

        It must not depend on numbers counted on the host, because a captured step replays it unchanged.
        """
        shared: dict[str, object] = {}
        images, labels = self.data.next_batch()
        for group in passes(due):
            if group[0].phase.joint:
                self._update_jointly(group, Batch(images, labels, self.rng, True, shared, self._progress))
                continue
            (player,) = group
            for repeat in range(player.phase.repeats):
                if repeat:
                    images, labels = self.data.next_batch()
                last = repeat == player.phase.repeats - 1
                with self._observed(player):
                    self._update(player, Batch(images, labels, self.rng, last, shared, self._progress))

    def _update(self, player: Player, batch: Batch) -> None:
        for parameter in player.frozen:
            parameter.requires_grad_(False)
        objective = self._evaluate(player, batch)
        if player.optimizer is not None:
            player.clear_gradients()
            objective.total.backward()  # type: ignore[no-untyped-call]
            self._apply(player, objective)
        for parameter in player.frozen:
            parameter.requires_grad_(True)
        player.record(objective, self._changing)

    def _update_jointly(self, players: Sequence[Player], batch: Batch) -> None:
        """Evaluate all objectives on one graph, then differentiate each for its own parameters, then update them all.

        No parameter changes while another phase still needs the graph. Each backward pass visits only what lies between
        a total and the parameters of its own phase, so nothing is computed twice but the paths that phases share.
        """
        objectives = []
        for player in players:
            with self._observed(player):
                objectives.append(self._evaluate(player, batch))
        trained = [pair for pair in zip(players, objectives, strict=True) if pair[0].optimizer is not None]
        for player, _ in trained:
            player.clear_gradients()
        for number, (player, objective) in enumerate(trained, 1):
            objective.total.backward(  # type: ignore[no-untyped-call]
                inputs=player.parameters, retain_graph=number < len(trained)
            )
        gradients = [[parameter.grad for parameter in player.parameters] for player, _ in trained]
        for (player, objective), own in zip(trained, gradients, strict=True):
            with self._observed(player):
                if self.observer is not None:  # which may have cleared those of the other players
                    for parameter, gradient in zip(player.parameters, own, strict=True):
                        parameter.grad = gradient
                self._apply(player, objective)
        for player, objective in zip(players, objectives, strict=True):
            player.record(objective, self._changing)

    def _evaluate(self, player: Player, batch: Batch) -> Objective:
        if self.precision == "bf16":
            with torch.autocast(self._device_type, torch.bfloat16):
                return player.phase.objective(batch)
        return player.phase.objective(batch)

    def _apply(self, player: Player, objective: Objective) -> None:
        """Update the player's parameters with their gradients."""
        assert player.optimizer is not None
        if self.rules.add_gradients is not None:
            self.rules.add_gradients(player.phase)
        if self.observer is not None:
            self.observer.gradients(player.phase, objective)
        if self.rules.clip_gradient:
            nn.utils.clip_grad_norm_(player.parameters, self.rules.clip_gradient)
        player.optimizer.step()
        if player.phase.after_update is not None:
            player.phase.after_update()

    def _observed(self, player: Player) -> AbstractContextManager[object]:
        return self.observer.updating(player.phase) if self.observer else contextlib.nullcontext()

    def read_terms(self) -> dict[str, Tensor]:
        """Return each term's values since the last call, (updates,) float32 on the host; the only device sync."""
        self.execution.deliver()
        read: dict[str, Tensor] = {}
        for player in self.players:
            name = player.phase.name
            series = {name: player.totals} | {f"{name}.{term}": values for term, values in player.terms.items()}
            read |= {key: torch.stack(values).float().cpu() for key, values in series.items() if values}
            player.totals, player.terms = [], defaultdict(list)
        return read

    def gradient_norms(self) -> dict[str, float]:
        """Return the L2 norm of each network's gradient after the last step; synchronises with the device."""
        norms: dict[str, float] = {}
        for name, network in self.networks.items():
            gradients = [p.grad.float() for p in network.parameters() if p.grad is not None]
            if gradients:
                norms[name] = float(torch.stack(torch._foreach_norm(gradients)).norm())
        return norms

    def _trainable(self, networks: Sequence[str]) -> list[nn.Parameter]:
        return [p for name in networks for p in self.networks[name].parameters() if p.requires_grad]


class EngineUnavailable(Exception):
    """An engine could not be prepared; the message is the reason, a phrase without a full stop."""
