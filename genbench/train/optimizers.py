"""One optimiser per phase, made from the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from genbench.exchange import Phase
from genbench.options import OptionValue


def make_optimizers(
    networks: Mapping[str, nn.Module], phases: Sequence[Phase], recipe: Mapping[str, OptionValue]
) -> dict[str, torch.optim.Optimizer]:
    """Return a fused Adam (Kingma & Ba 2015) for each phase that has something to train, by phase name."""
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for phase in phases:
        parameters = [p for name in phase.networks for p in networks[name].parameters() if p.requires_grad]
        if parameters:
            optimizers[phase.name] = torch.optim.Adam(
                parameters,
                lr=_number(recipe, "learning_rate"),
                betas=(_number(recipe, "beta1"), _number(recipe, "beta2")),
                weight_decay=_number(recipe, "weight_decay"),
                fused=True,
            )
    return optimizers


def _number(recipe: Mapping[str, OptionValue], name: str) -> float:
    value = recipe[name]
    assert isinstance(value, int | float)
    return float(value)
