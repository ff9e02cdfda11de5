"""Data-parallel training: torch's DistributedDataParallel wraps the objective of each phase.

Each process computes the objective for its part of the batch. DistributedDataParallel averages the gradients during the
backward pass, which gives the gradient of the mean of all objectives; for a loss that is a mean over images, this is
the gradient of the whole batch. Statistics over images, above all those of batch norm, are computed within each part.
Every process then takes the same optimiser step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from genbench.api.training import Batch, Objective, Phase
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.player import Player
from genbench.train.process_group import average


class DataParallel(Execution):
    """Wraps each phase in DistributedDataParallel: one forward pass, the objective, for each backward pass.

    This works for any family: DistributedDataParallel sees whole objectives, never single networks that are called
    twice, or by another player. Floating-point buffers (running averages of batch norm, codebooks, the strength of an
    adaptive augmentation) are averaged over the processes after each step.

    After the first step, `unused` names the phases in which some parameters were used in one process but not in
    another: DistributedDataParallel must search for these in every step.
    """

    name = "eager"

    def __init__(self, engine: Engine) -> None:
        self._players = [player for player in engine.players if player.optimizer is not None]
        self._phases = [player.phase for player in self._players]
        self.unused: list[str] = []
        for player in self._players:
            averaged = _AveragedObjective(list(dict.fromkeys(player.parameters)), player.phase, self.unused)
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
        """Restore the players' own objectives."""
        self.exchange_phases()

    def exchange_phases(self) -> None:
        """Give the players their own objectives instead of the averaged ones, or these back."""
        theirs = [player.phase for player in self._players]
        for player, phase in zip(self._players, self._phases, strict=True):
            player.phase = phase
        self._phases = theirs


class _AveragedObjective:
    """The objective of a phase; its backward pass averages the gradients over all processes."""

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
        """Wrap the parameters that receive a gradient in DistributedDataParallel.

        The graph may reach a parameter that receives none, as that of a gradient penalty does with biases, and
        DistributedDataParallel would wait for it. The parameters are therefore selected by their gradients.
        """
        gradients = torch.autograd.grad(first.total, self._trained, retain_graph=True, allow_unused=True)
        shares = torch.tensor([float(gradient is not None) for gradient in gradients], device=first.total.device)
        average(shares)
        used = [parameter for parameter, share in zip(self._trained, shares.tolist(), strict=True) if share]
        differs = any(0 < share < 1 for share in shares.tolist())  # from process to process
        if differs:
            self._unused.append(self._phase.name)
        # Without `device_ids`, batches are passed on unchanged. Without `init_sync`, nothing is overwritten: that
        # all ranks have the same weights is verified elsewhere.
        module = _PhaseModule(used, self._phase)
        return DistributedDataParallel(module, init_sync=False, find_unused_parameters=differs)


class _PhaseModule(nn.Module):
    """A phase as a module with the parameters that it trains, called once per update; it has no buffers."""

    def __init__(self, trained: Iterable[nn.Parameter], phase: Phase) -> None:
        super().__init__()
        self.trained, self.phase = nn.ParameterList(trained), phase
        self.terms: Mapping[str, Tensor] = {}

    def forward(self, batch: Batch, known: Objective | None) -> Tensor:
        """Return the total of the objective, computing it unless it is given; keep its terms in `terms`.

        Only the total is returned: otherwise DistributedDataParallel would treat parameters that only a term reaches as
        used.
        """
        objective = known or self.phase.objective(batch)
        self.terms = objective.terms
        return objective.total


@contextmanager
def training_alone(engine: Engine) -> Iterator[None]:
    """Let the engine train inside as if its process were the only one: its steps exchange nothing with the others."""
    together = engine.execution
    if not isinstance(together, DataParallel):
        yield
        return
    together.exchange_phases()
    engine.execution = Eager()
    try:
        yield
    finally:
        engine.execution = together
        together.exchange_phases()


@torch.no_grad()
def average_all(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, with one message per dtype."""
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.dtype, []).append(tensor)
    for group in by_dtype.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        average(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in group])
        torch._foreach_copy_(group, [part.view(t.shape) for part, t in zip(parts, group, strict=True)])
