"""Several processes train the same networks: torch's DistributedDataParallel around the objective of each phase.

Each process computes the objective of its share of the batch. DistributedDataParallel averages the gradients while the
backward pass still runs, which makes them those of the mean of all shares' objectives: the gradient of the whole batch,
where a loss is a mean over images. What is computed across images (the statistics of batch norm first of all) is
computed within a share. Every process then takes the same optimiser step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from genbench.api.training import Batch, Objective, Phase
from genbench.train.engine import Engine, Player
from genbench.train.process_group import average


class DataParallel:
    """Each phase under DistributedDataParallel: one forward pass, which is the objective, for each backward pass.

    So any family works: DistributedDataParallel sees whole objectives, never single networks that are called twice, or
    by another player. Buffers of floating numbers (the running averages of batch norm, codebooks, the strength of an
    adaptive augmentation) are averaged over the processes after each step.

    `unused` names, once the first step is done, the phases in which some parameters took part in one process and not in
    another: DistributedDataParallel must look for those in every step.
    """

    name = "eager"
    notes: Sequence[str] = ()

    def __init__(self, engine: Engine) -> None:
        self._players = [player for player in engine.players if player.optimizer is not None]
        self._phases = [player.phase for player in self._players]
        self.unused: list[str] = []
        for player in self._players:
            averaged = _Averaged(list(dict.fromkeys(player.parameters)), player.phase, self.unused)
            player.phase = replace(player.phase, objective=averaged)
        modules = [*engine.networks.values()]
        if isinstance(engine.augmentation, nn.Module):
            modules.append(engine.augmentation)
        buffers = {id(b): b for m in modules for b in m.buffers() if b.is_floating_point()}
        self._buffers = list(buffers.values())

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Run the phases, then average the buffers."""
        engine.run_phases(due)
        average_all(self._buffers)

    def close(self) -> None:
        """Give the players their own objectives back."""
        for player, phase in zip(self._players, self._phases, strict=True):
            player.phase = phase


class _Averaged:
    """The objective of a phase, whose backward pass averages gradients."""

    def __init__(self, trained: Sequence[nn.Parameter], phase: Phase, unused: list[str]) -> None:
        self._trained, self._phase, self._unused = trained, phase, unused
        self._parallel: DistributedDataParallel | None = None

    def __call__(self, batch: Batch) -> Objective:
        first = None
        if self._parallel is None:
            first = self._phase.objective(batch)
            self._parallel = self._wrap(first)
        total: Tensor = self._parallel(batch, first)
        return Objective(total, self._parallel.module.terms)

    def _wrap(self, first: Objective) -> DistributedDataParallel:
        """Put the parameters that take part under DistributedDataParallel.

        Which those are, the gradients say: a graph may reach a parameter and give it none, as that of a gradient
        penalty does with biases. DistributedDataParallel would wait for it.
        """
        gradients = torch.autograd.grad(first.total, self._trained, retain_graph=True, allow_unused=True)
        here = torch.tensor([float(gradient is not None) for gradient in gradients], device=first.total.device)
        shares = here.clone()
        average(shares)
        taking_part = [parameter for parameter, share in zip(self._trained, shares.tolist(), strict=True) if share]
        branches = any(0 < share < 1 for share in shares.tolist())  # not the same ones in all processes
        if branches:
            self._unused.append(self._phase.name)
        # Without `device_ids` a batch is passed on as it is. Without `init_sync` nothing is overwritten: that all ranks
        # have the same weights is verified elsewhere.
        module = _PhaseModule(taking_part, self._phase)
        return DistributedDataParallel(module, init_sync=False, find_unused_parameters=branches)


class _PhaseModule(nn.Module):
    """A phase as a module of the parameters that it trains, called once for each update; buffers are no part of it."""

    def __init__(self, trained: Iterable[nn.Parameter], phase: Phase) -> None:
        super().__init__()
        self.trained, self.phase = nn.ParameterList(trained), phase
        self.terms: Mapping[str, Tensor] = {}

    def forward(self, batch: Batch, known: Objective | None) -> Tensor:
        """Return the total of the objective, which may be known already; its terms stay in `terms`.

        The total alone is returned: DistributedDataParallel would take a parameter for used that only a term reaches.
        """
        objective = known or self.phase.objective(batch)
        self.terms = objective.terms
        return objective.total


@torch.no_grad()
def average_all(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one message per type of number."""
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        average(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in alike])
        torch._foreach_copy_(alike, [part.view(t.shape) for part, t in zip(parts, alike, strict=True)])
