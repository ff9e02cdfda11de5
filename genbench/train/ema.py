"""Averaged weights: an exponential moving average, which is sampled instead of the raw weights."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Averages of all parameters; buffers (batch-norm statistics) are copied.

    The decay is 0.5^(images per step / half-life), where the half-life is at most `ramp` times the images seen so far
    (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", section 3 and appendix C).
    """

    def __init__(self, networks: Mapping[str, nn.Module], half_life: float, ramp: float) -> None:
        self.half_life, self.ramp = half_life, ramp
        self.networks = {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}
        self._averages: list[Tensor] = [p for name in networks for p in self.networks[name].parameters()]
        self._sources = [p for name in networks for p in networks[name].parameters()]
        pairs = defaultdict[torch.dtype, list[tuple[Tensor, Tensor]]](list)  # buffers of one dtype are copied at once
        for name in networks:
            for mine, theirs in zip(self.networks[name].buffers(), networks[name].buffers(), strict=True):
                pairs[mine.dtype].append((mine, theirs))
        self._buffers = [([mine for mine, _ in same], [theirs for _, theirs in same]) for same in pairs.values()]

    def decay(self, images_seen: int, images_per_step: int) -> float:
        """Return the weight of the past in the next update."""
        half_life = min(self.half_life, self.ramp * images_seen) if self.ramp else self.half_life
        return float(0.5 ** (images_per_step / max(half_life, 1e-8)))

    @torch.no_grad()
    def update(self, images_seen: int, images_per_step: int) -> None:
        """Move the averages towards the current weights."""
        sources: list[Tensor] = [p.detach() for p in self._sources]
        if self._averages:  # some networks have no weights
            torch._foreach_lerp_(self._averages, sources, 1 - self.decay(images_seen, images_per_step))
        for mine, theirs in self._buffers:
            torch._foreach_copy_(mine, theirs)
