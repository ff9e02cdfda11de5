"""Batch norm and dropout while a model is sampled; afterwards everything is restored."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from genbench.sampling.inference import evaluation_mode


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    for _ in range(3):
        made(5 + torch.randn(32, 4))
    return made


def test_running_statistics_are_those_of_training() -> None:
    made, images = network(), torch.randn(6, 4)
    expected = copy.deepcopy(made).eval()(images)
    with evaluation_mode([made]):
        assert torch.equal(made(images), expected)


def test_batch_statistics_normalise_the_batch_itself() -> None:
    made, latents = network(), torch.randn(64, 4)
    with evaluation_mode([made], "batch"):
        normalised = made[1](made[0](latents))
    assert normalised.mean(0).abs().max() < 1e-5
    assert (normalised.var(0, unbiased=False) - 1).abs().max() < 1e-2


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_sampling_does_not_change_the_networks(statistics: str) -> None:
    made = network()
    made[1].eval()  # say, a frozen layer
    before, modes = copy.deepcopy(made.state_dict()), [module.training for module in made.modules()]
    with evaluation_mode([made], statistics):
        made(torch.randn(8, 4))
    assert [module.training for module in made.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())
    assert made[1].track_running_stats
