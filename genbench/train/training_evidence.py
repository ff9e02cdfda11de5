"""Proof of training: evidence that the timed steps changed every parameter by a finite, non-zero gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from genbench.results.schema import Proof

ROUNDING = 1e-5  # of a network's gradient: some roundings of single precision


def _trainable(networks: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    return {
        f"{network}.{name}": parameter
        for network, module in networks.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def _gradient_norm(parameters: Iterable[nn.Parameter]) -> float:
    gradients = [p.grad.float() for p in parameters if p.grad is not None]
    return float(torch.stack([g.norm() for g in gradients]).norm()) if gradients else 0.0


def _cannot_move(parameter: nn.Parameter, network_norm: float) -> bool:
    """Say whether this takes part, with a gradient that is zero for a reason that lies in the mathematics.

    A single number with a gradient of exactly zero: the last bias of a discriminator under every loss that sees
    differences of logits alone (Wasserstein, relativistic), and under the hinge as long as all logits lie inside the
    margin. Or a gradient that is nothing but rounding beside that of its network, `network_norm`: a bias in front of
    batch norm, which takes it away again. Adam moves it all the same; plain gradient descent does not.
    """
    norm = _gradient_norm([parameter])
    if norm == 0:
        return parameter.numel() == 1 and parameter.grad is not None
    return norm <= ROUNDING * network_norm


class TrainingEvidence:
    """Remembers the parameters as they were before training, and looks at gradients once, off the clock."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks
        self._before = {name: p.detach().clone() for name, p in _trainable(networks).items()}
        self._without_gradient: list[str] = []
        self._not_finite: set[str] = set()

    def check_gradients(self) -> None:
        """Note which parameters hold no gradient, a zero one, or one that is not finite, after the step just done."""
        for name, parameter in _trainable(self._networks).items():
            if parameter.grad is None or not bool(parameter.grad.any()):
                self._without_gradient.append(name)
            elif not bool(parameter.grad.isfinite().all()):
                self._not_finite.add(name)

    def proof(self, phase_updates: Mapping[str, int]) -> Proof:
        """Compare with the parameters as they are now."""
        now = _trainable(self._networks)
        resting = [name for name, p in now.items() if torch.equal(p.detach(), self._before[name])]
        norms = {name: _gradient_norm(network.parameters()) for name, network in self._networks.items()}
        unmoved = [name for name in resting if not _cannot_move(now[name], norms[name.partition(".")[0]])]
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
