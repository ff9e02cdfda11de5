"""Players: the phases of a step with what their updates need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor, nn

from genbench.api.training import Objective, Phase
from genbench.errors import SpecError


@dataclass
class Player:
    """A phase with the parameters and the optimiser of its update."""

    phase: Phase
    optimizer: torch.optim.Optimizer | None  # None: the phase has nothing to train
    parameters: list[nn.Parameter]
    frozen: list[nn.Parameter]
    updates: int = 0
    totals: list[Tensor] = field(default_factory=list)  # since the last `read_terms`; on the device
    terms: defaultdict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        groups = self.optimizer.param_groups if self.optimizer is not None else []
        self._optimised: list[nn.Parameter] = [parameter for group in groups for parameter in group["params"]]

    def record(self, objective: Objective, changing: Collection[int] = ()) -> None:
        """Keep the total and the terms of an update.

        Args:
            objective: of this update.
            changing: addresses of memory that later steps change in place; values there are copied.
        """
        self.totals.append(objective.total.detach())
        for term, value in objective.terms.items():
            held = value.detach()
            self.terms[term].append(held.clone() if held.untyped_storage().data_ptr() in changing else held)

    def clear_gradients(self) -> None:
        """Do the same as the optimiser's `zero_grad`, without its overhead of microseconds per step."""
        for parameter in self._optimised:
            parameter.grad = None


def passes(players: Sequence[Player]) -> list[list[Player]]:
    """Return the players of each forward pass: the phases of a joint group together, any other phase alone."""
    numbered = enumerate(players)
    groups = groupby(numbered, lambda pair: pair[1].phase.joint or pair[0])
    return [[player for _, player in group] for _, group in groups]


def check_joint_phases(phases: Sequence[Phase], networks: Mapping[str, nn.Module], family: str) -> None:
    """Raise `SpecError` for phases that cannot share a forward pass."""
    groups: dict[str, list[Phase]] = {}
    for phase in phases:
        if phase.joint:
            groups.setdefault(phase.joint, []).append(phase)
    for name, group in groups.items():
        fault, cure = _fault(group, phases, networks)
        if fault:
            raise SpecError(f"The joint phases '{name}' of the family '{family}': {fault}", cure)


def _fault(group: Sequence[Phase], phases: Sequence[Phase], networks: Mapping[str, nn.Module]) -> tuple[str, str]:
    """Return what is wrong with a group, and the remedy."""
    first = phases.index(group[0])
    if list(phases[first : first + len(group)]) != list(group):
        return "another phase is between them.", "List phases of one forward pass directly after each other."
    owners: dict[nn.Parameter, Phase] = {}
    for phase in group:
        if phase.repeats > 1:
            return f"'{phase.name}' has repeats = {phase.repeats}.", "Phases of one forward pass are updated once each."
        if phase.every != group[0].every:
            return (
                f"'{group[0].name}' has every = {group[0].every}, '{phase.name}' has every = {phase.every}.",
                "Phases of one forward pass run in the same steps.",
            )
        if phase.frozen:
            return (
                f"'{phase.name}' freezes {', '.join(phase.frozen)}.",
                "Leave out `frozen`: each phase gets the gradient with respect to its own networks alone.",
            )
        for network in phase.networks:
            for parameter_name, parameter in networks[network].named_parameters():
                owner = owners.setdefault(parameter, phase)
                if owner is not phase:
                    return (
                        f"'{owner.name}' and '{phase.name}' both train {network}.{parameter_name}.",
                        "Train a parameter in one of them, with the sum of both objectives.",
                    )
    return "", ""
