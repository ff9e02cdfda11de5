"""Linear layers by oneDNN: the same values, gradients and second gradients as by the BLAS, and the same counts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from genbench.train.engines.onednn_linear import AVAILABLE, OneDNNLinear, linear_layers, use_onednn

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="this torch has no oneDNN")


def networks() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3, bias=False))
    other = copy.deepcopy(plain)
    for layer in linear_layers(other):
        use_onednn(layer, wanted=True)
    return plain, other


def test_values_and_both_derivatives_are_those_of_the_blas() -> None:
    found = []
    for network in networks():
        inputs = torch.linspace(-1, 1, 28).reshape(4, 7).requires_grad_()
        output = network(inputs)
        (slope,) = torch.autograd.grad(output.square().sum(), inputs, create_graph=True)
        slope.square().sum().backward()
        assert inputs.grad is not None
        found.append([output, slope, inputs.grad, *(p.grad for p in network.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert theirs is not None
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_only_float32_matrices_are_computed_by_onednn_and_only_layers_of_torch_itself() -> None:
    plain, other = networks()
    images = torch.ones(2, 3, 7)
    torch.testing.assert_close(other(images), plain(images))
    assert other.double()(images.double()).dtype == torch.float64
    assert linear_layers(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))) == []
    use_onednn(layer := linear_layers(other)[0], wanted=False)
    assert type(layer) is nn.Linear
    assert type(copy.deepcopy(networks()[1])[0]) is OneDNNLinear


def test_operations_are_counted_alike() -> None:
    counts = []
    for network in networks():
        with FlopCounterMode(display=False) as counter:
            network(torch.ones(4, 7, requires_grad=True)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 3 * 2 * 4 * (7 * 5 + 5 * 3)
