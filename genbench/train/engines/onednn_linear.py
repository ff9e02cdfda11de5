"""Linear layers by oneDNN instead of the BLAS of torch: faster on some processors, slower on others.

The output and the gradient of the inputs are computed by oneDNN, that of the weights by the BLAS. torch has no switch
for it. The class of a layer is replaced and nothing else, so weights, names and copies of the network stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, register_flop_formula

AVAILABLE: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class OneDNNLinear(nn.Linear):
    """A linear layer for float32 vectors by oneDNN; other inputs are computed as usual."""

    def forward(self, input: Tensor) -> Tensor:
        """Return input · weightᵀ + bias, (B, out_features)."""
        if input.ndim != 2 or input.dtype != torch.float32 or self.weight.dtype != torch.float32:
            return super().forward(input)
        found: Tensor = _Product.apply(input, self.weight, self.bias)
        return found


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """Return the layers that oneDNN can compute: linear ones of torch itself, without changes by others."""
    return [module for module in network.modules() if type(module) in (nn.Linear, OneDNNLinear)]  # type: ignore[misc]


def use_onednn(layer: nn.Linear, wanted: bool) -> None:
    """Let oneDNN compute the layer, or the BLAS again."""
    layer.__class__ = OneDNNLinear if wanted else nn.Linear


class _Product(torch.autograd.Function):
    """x · wᵀ + b of matrices; its gradients can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.has_bias = bias is not None
        found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        inputs, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad
        of_inputs = _Product.apply(gradient, weight.t(), None) if needed[0] else None
        of_weight = gradient.t() @ inputs if needed[1] else None
        return of_inputs, of_weight, gradient.sum(0) if ctx.has_bias and needed[2] else None


def _flops(inputs: torch.Size, weight: torch.Size, *_: object, **__: object) -> int:
    """Return the operations of inputs (B, i) times weights (o, i), as torch counts those of `addmm`."""
    return 2 * inputs[0] * weight[0] * weight[1]


if AVAILABLE and torch.ops.mkldnn._linear_pointwise not in flop_registry:
    register_flop_formula(torch.ops.mkldnn._linear_pointwise)(_flops)
