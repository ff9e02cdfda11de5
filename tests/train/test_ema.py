"""Averaged weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genbench.train.ema import AveragedWeights


def test_an_average_moves_half_way_in_a_half_life() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    averaged = AveragedWeights({"generator": layer}, half_life=100.0, ramp=0.0)
    nn.init.ones_(layer.weight)
    averaged.update(images_seen=100, images_per_step=100)
    assert float(averaged.networks["generator"].weight.detach()) == pytest.approx(0.5)  # type: ignore[arg-type]


def test_buffers_are_copied() -> None:
    norm = nn.BatchNorm1d(2)
    averaged = AveragedWeights({"generator": norm}, half_life=100.0, ramp=0.0)
    norm(torch.randn(8, 2))
    averaged.update(images_seen=8, images_per_step=8)
    assert torch.equal(dict(averaged.networks["generator"].named_buffers())["running_mean"], norm.running_mean)  # type: ignore[arg-type]


def test_networks_without_weights_may_be_averaged() -> None:
    AveragedWeights({"generator": nn.Identity()}, half_life=100.0, ramp=0.0).update(64, 32)
