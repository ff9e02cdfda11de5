"""Proof of training: evidence that the timed steps changed every parameter by a finite, non-zero gradient."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from genbench.results.schema import Proof


def _trainable(networks: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{network}.{name}": parameter
        for network, module in networks.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def _is_balanced(parameter: nn.Parameter) -> bool:
    """Say whether this is a single number with a gradient of exactly zero.

    So it is with the last bias of a discriminator under every loss that sees differences of logits alone (Wasserstein,
    relativistic), and under the hinge as long as all logits lie inside the margin: it takes part, and cannot move.
    """
    return parameter.numel() == 1 and parameter.grad is not None and not bool(parameter.grad.any())


class Witness:
    """Remembers the parameters as they were before training, and looks at gradients once, off the clock."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks
        self._before = {name: p.detach().clone() for name, p in _trainable(networks).items()}
        self._without_gradient: list[str] = []
        self._not_finite: set[str] = set()

    def look_at_gradients(self) -> None:
        """Note which parameters hold no gradient, a zero one, or one that is not finite, after the step just done."""
        for name, parameter in _trainable(self._networks).items():
            if parameter.grad is None or not bool(parameter.grad.any()):
                self._without_gradient.append(name)
            elif not bool(parameter.grad.isfinite().all()):
                self._not_finite.add(name)

    def testify(self, phase_updates: Mapping[str, int]) -> Proof:
        """Compare with the parameters as they are now."""
        now = _trainable(self._networks)
        resting = [name for name, p in now.items() if torch.equal(p.detach(), self._before[name])]
        unmoved = [name for name in resting if not _is_balanced(now[name])]
        not_finite = self._not_finite | {name for name, p in now.items() if not bool(p.isfinite().all())}
        idle = [phase for phase, updates in phase_updates.items() if updates == 0]
        return Proof(
            trained=not (unmoved or not_finite or idle),
            phase_updates=dict(phase_updates),
            unmoved=unmoved,
            without_gradient=self._without_gradient,
            not_finite=sorted(not_finite),
        )

    def state(self) -> dict[str, Tensor]:
        """Return the remembered parameters, for a checkpoint."""
        return dict(self._before)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember what an interrupted process remembered."""
        self._before = {name: tensors[name].to(p.device) for name, p in self._before.items()}
