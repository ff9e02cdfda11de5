"""Training evidence: that the timed steps changed every parameter by a finite, non-zero gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from genbench.results.schema import Proof

ROUNDING = 1e-5  # relative to a network's gradient: rounding errors of single precision


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
    """Return whether the parameter is used, but its gradient is zero for a mathematical reason.

    One case is a single number with a gradient of exactly zero: the last bias of a discriminator, if the loss depends
    only on differences of logits (Wasserstein, relativistic), or with the hinge while all logits are inside the margin.
    The other is a gradient that is only rounding error compared with that of its network, `network_norm`: a bias
    before batch norm, which subtracts it again. Adam moves it anyway; plain gradient descent does not.
    """
    norm = _gradient_norm([parameter])
    if norm == 0:
        return parameter.numel() == 1 and parameter.grad is not None
    return norm <= ROUNDING * network_norm


class TrainingEvidence:
    """Compares parameters before and after training, and checks the gradients once, off the clock."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = networks
        self._before = {name: p.detach().clone() for name, p in _trainable(networks).items()}
        self._without_gradient: list[str] = []
        self._not_finite: set[str] = set()

    def check_gradients(self) -> None:
        """Record which parameters have no gradient, a zero one, or one that is not finite, after the last step."""
        for name, parameter in _trainable(self._networks).items():
            if parameter.grad is None or not bool(parameter.grad.any()):
                self._without_gradient.append(name)
            elif not bool(parameter.grad.isfinite().all()):
                self._not_finite.add(name)

    def proof(self, phase_updates: Mapping[str, int]) -> Proof:
        """Return the evidence, from a comparison with the current parameters."""
        now = _trainable(self._networks)
        unchanged = [name for name, p in now.items() if torch.equal(p.detach(), self._before[name])]
        norms = {name: _gradient_norm(network.parameters()) for name, network in self._networks.items()}
        unmoved = [name for name in unchanged if not _cannot_move(now[name], norms[name.partition(".")[0]])]
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
        """Return the parameters before training, for a checkpoint."""
        return dict(self._before)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore `state` from a checkpoint; raise ValueError if it belongs to other networks."""
        for name, parameter in self._before.items():
            if name not in tensors or tensors[name].shape != parameter.shape:
                raise ValueError(f"it has no initial value of {name} with its shape")
        self._before = {name: tensors[name].to(p.device) for name, p in self._before.items()}
