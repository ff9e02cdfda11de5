"""Regularisers that apply to any network from outside: dropout and orthogonal regularisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils import parametrize

from genbench.errors import SpecError, UsageError, near_miss

# Activations of hidden layers. Tanh and sigmoid are excluded: they are output layers of networks that generate images.
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish)

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


@dataclass(frozen=True)
class _Dropout:
    """A forward hook, which is copied with its network and does nothing in eval mode."""

    rate: float

    def __call__(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return dropout(output, self.rate, training=module.training)


def add_dropout(networks: Mapping[str, nn.Module], names: Iterable[str], rate: float) -> int:
    """Apply dropout after each hidden activation layer of the named networks, in training mode only.

    Srivastava et al. 2014: each value is zero with probability `rate`, the others are divided by 1 - rate. If a chain
    of layers ends with an activation, which is then its output, that one is left out. Random numbers come from torch's
    global generator, as for any dropout layer.

    Returns:
        The number of activation layers. Raises `UsageError` if there are none.
    """
    found: dict[nn.Module, None] = {}  # in order; a layer that two networks share counts once
    outputs: set[nn.Module] = set()
    for name in names:
        if name not in networks:
            raise SpecError(
                f"Dropout applies to '{name}', which is not a network of the model.{near_miss(name, networks)}",
                f"The model has: {', '.join(networks)}.",
                code="GB510",
            )
        outputs.add(_last_layer(networks[name]))
        found |= dict.fromkeys(module for module in networks[name].modules() if isinstance(module, ACTIVATIONS))
    places = [module for module in found if module not in outputs]
    if not places:
        raise UsageError(
            "dropout: the model has no hidden activation layers to apply it to.",
            "Use dropout = 0, or a model whose activations are modules such as torch.nn.ReLU.",
            code="GB510",
        )
    for module in places:
        module.register_forward_hook(_Dropout(rate))
    return len(places)


def _last_layer(network: nn.Module) -> nn.Module:
    """Return the layer whose output is the network's, if that is known: in chains of layers."""
    while isinstance(network, nn.Sequential) and len(network):
        network = network[-1]
    return network


def orthogonal_penalty(network: nn.Module) -> Tensor:
    """Return Σ ‖W Wᵀ ∘ (1 - I)‖²_F over the weights of dense and convolutional layers (Brock et al. 2019, equation 3).

    Each row of W holds the weights of one output. In a grouped convolution, only rows of the same group are compared,
    since others share no input. The norms of the rows are not constrained. With spectral norm, W is the weight before
    the division. Raises `UsageError` if the network has no such layers.
    """
    matrices = [_matrices(layer, weight) for layer, weight in _weights(network)]
    if not matrices:
        raise _no_weights()
    return torch.stack([_off_diagonal(rows).square().sum() for rows in matrices]).sum()


@torch.no_grad()
def add_orthogonal_gradient(network: nn.Module, strength: float) -> None:
    """Add the gradient of `strength` · `orthogonal_penalty` to the gradient of each weight that has one.

    It has the closed form 4 (W Wᵀ ∘ (1 - I)) W, so no graph is needed. A weight without a gradient is not being
    trained, and is left unchanged.
    """
    for layer, weight in _weights(network):
        if weight.grad is not None:
            rows = _matrices(layer, weight)
            gradient = _like_weight(layer, weight, _off_diagonal(rows) @ rows)
            weight.grad.add_(gradient.to(weight.grad.dtype), alpha=4 * strength)


def require_weights(networks: Mapping[str, nn.Module]) -> None:
    """Raise `UsageError` if orthogonal regularisation would apply to no weight at all."""
    if not any(True for network in networks.values() for _ in _weights(network)):
        raise _no_weights()


def _no_weights() -> UsageError:
    return UsageError(
        "orthogonal: the model has no dense or convolutional layers to apply it to.",
        "Use orthogonal = 0, or a model with layers such as torch.nn.Conv2d.",
        code="GB510",
    )


def _weights(network: nn.Module) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    """Yield each layer with its trained weight; a weight that layers share is yielded once."""
    seen: set[nn.Parameter] = set()
    for layer in network.modules():
        if not isinstance(layer, _WEIGHTED):
            continue
        weight: object
        if parametrize.is_parametrized(layer, "weight"):
            # Not `layer.weight`: reading it runs the parametrisation, and spectral norm would do another iteration.
            weight = getattr(layer.parametrizations["weight"], "original", None)  # type: ignore[index]
        else:
            weight = layer._parameters.get("weight_orig", layer._parameters.get("weight"))
        if isinstance(weight, nn.Parameter) and weight not in seen:
            seen.add(weight)
            yield layer, weight


def _matrices(layer: nn.Module, weight: Tensor) -> Tensor:
    """Return a weight as (groups, outputs per group, weights per output)."""
    groups = getattr(layer, "groups", 1)
    if isinstance(layer, _TRANSPOSED):  # (inputs, outputs per group, …)
        return weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(2)
    return weight.reshape(groups, len(weight) // groups, -1)


def _like_weight(layer: nn.Module, weight: Tensor, matrices: Tensor) -> Tensor:
    """Return matrices in the shape of the weight: the inverse of `_matrices`."""
    if isinstance(layer, _TRANSPOSED):
        groups, outputs, _ = matrices.shape
        return matrices.reshape(groups, outputs, -1, *weight.shape[2:]).transpose(1, 2).reshape(weight.shape)
    return matrices.reshape(weight.shape)


def _off_diagonal(rows: Tensor) -> Tensor:
    """Return the inner products of different rows, W Wᵀ ∘ (1 - I), for each group."""
    return (rows @ rows.mT) * (1 - torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device))
