"""The eager engine: runs a step of a family's phases, and never waits for the device.

Other engines (compiled, graphed) will run the same phases; each must follow this one at the same seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from genbench.exchange import Batch, Phase
from genbench.train.data import ResidentImages
from genbench.train.ema import AveragedWeights


@dataclass
class _Player:
    """A phase with what its update touches, looked up once."""

    phase: Phase
    optimizer: torch.optim.Optimizer | None  # None: the phase has nothing to train
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
        data: ResidentImages,
        rng: torch.Generator,
        optimizers: Mapping[str, torch.optim.Optimizer],
        precision: str = "fp32",
        average: AveragedWeights | None = None,
    ) -> None:
        self.networks = dict(networks)
        self.data = data
        self.rng = rng
        self.average = average
        self.step_number = 0  # steps done
        self.images_seen = 0
        self._autocast = precision == "bf16"
        self._device_type = data.pixels.device.type
        self.players = [
            _Player(
                phase,
                optimizers.get(phase.name),
                [p for name in phase.frozen for p in self.networks[name].parameters() if p.requires_grad],
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
                self._update(player, Batch(images, labels, self.rng, repeat == phase.repeats - 1, shared))
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
            player.optimizer.step()
            player.updates += 1
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
