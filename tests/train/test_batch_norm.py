"""Batch norm and batches of one image."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from genbench.errors import UsageError
from genbench.train.batch_norm import require_several_values


def test_one_value_per_channel_is_rejected_with_the_name_of_the_layer_and_a_remedy() -> None:
    networks = {"generator": nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4)))}
    require_several_values(networks)
    with pytest.raises(UsageError, match=r"batch norm generator\.1\.0") as error:
        networks["generator"](torch.zeros(1, 3))
    assert "--batch-size 2" in error.value.cure


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm1d(4), (2, 4)), (nn.BatchNorm2d(4), (1, 4, 2, 1)), (nn.BatchNorm1d(4), (1, 4, 2))]
)
def test_several_values_are_normalised_as_usual(layer: nn.Module, shape: tuple[int, ...]) -> None:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = copy.deepcopy(layer)(images)
    require_several_values({"discriminator": layer})
    assert torch.equal(layer(images), expected)


def test_sampling_a_single_image_is_possible() -> None:
    layer = nn.BatchNorm1d(4)
    require_several_values({"generator": layer})
    assert torch.equal(layer.eval()(torch.zeros(1, 4)), torch.zeros(1, 4))
