"""Training evidence: what must have changed, and what cannot."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genbench.train.training_evidence import TrainingEvidence


def trained(
    network: nn.Module, optimizer: type[torch.optim.Optimizer] = torch.optim.SGD, rate: float = 1e-3
) -> TrainingEvidence:
    torch.manual_seed(0)
    evidence = TrainingEvidence({"net": network})
    made = optimizer(network.parameters(), lr=rate)
    for _ in range(20):
        made.zero_grad()
        network(torch.randn(64, 4)).square().mean().backward()
        made.step()
    return evidence


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Linear(8, 1))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_a_bias_before_batch_norm_need_not_change(optimizer: type[torch.optim.Optimizer]) -> None:
    proof = trained(chain(), optimizer).proof({"fit": 20})
    assert proof.trained, proof.unmoved


def test_without_a_learning_rate_nothing_changes() -> None:
    proof = trained(chain(), rate=0.0).proof({"fit": 20})
    assert not proof.trained
    assert {"net.0.weight", "net.1.weight", "net.3.weight", "net.3.bias"} <= set(proof.unmoved)


def test_a_layer_without_any_gradient_is_named() -> None:
    network = chain()
    network.register_parameter("forgotten", nn.Parameter(torch.ones(3)))
    network.register_parameter("dead", nn.Parameter(torch.ones(3)))
    network[3].register_forward_hook(lambda module, inputs, output: output + 0 * network.dead.sum())
    assert trained(network).proof({"fit": 20}).unmoved == ["net.forgotten", "net.dead"]
