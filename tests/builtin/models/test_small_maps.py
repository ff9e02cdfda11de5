"""Layers that compute a convolution as a matrix product, compared with torch's convolutions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from genbench.builtin.models.adversarial.dcgan import build
from genbench.builtin.models.adversarial.small_maps import (
    Doubling,
    FromPixel,
    Halving,
    ToPixel,
    add_patches,
    cut_patches,
)
from genbench.measure.op_listener import OpListener

PAIRS = {
    "from pixel": (FromPixel(5, 6, 4), nn.ConvTranspose2d(5, 6, 4, 1, 0, bias=False), (3, 5, 1, 1)),
    "to pixel": (ToPixel(5, 6, 4), nn.Conv2d(5, 6, 4, 1, 0, bias=False), (3, 5, 4, 4)),
    "halving": (Halving(5, 6), nn.Conv2d(5, 6, 4, 2, 1, bias=False), (3, 5, 8, 6)),
    "doubling": (Doubling(5, 6), nn.ConvTranspose2d(5, 6, 4, 2, 1, bias=False), (3, 5, 4, 2)),
}


def twins(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    mine, theirs, shape = PAIRS[name]
    theirs.load_state_dict(mine.state_dict())  # the same names and shapes
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return mine.to(dtype), theirs.to(dtype), maps.requires_grad_()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_the_convolution(name: str, layout: torch.memory_format) -> None:
    mine, theirs, maps = twins(name)
    mine, theirs, maps = mine.to(memory_format=layout), theirs.to(memory_format=layout), maps.to(memory_format=layout)
    found, expected = mine(maps), theirs(maps)
    torch.testing.assert_close(found, expected)
    given = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        torch.autograd.grad(found, [maps, mine.weight], given),
        torch.autograd.grad(expected, [maps, theirs.weight], given),
    )


@pytest.mark.parametrize("name", PAIRS)
def test_on_any_other_device_they_are_torchs_convolutions(name: str) -> None:
    mine, _, shape = PAIRS[name]
    executed: list[str] = []
    layer, maps = copy.deepcopy(mine).to("meta"), torch.empty(shape, device="meta")
    with OpListener(lambda func, *_: executed.append(str(func))):
        layer(maps)
    assert "aten.convolution.default" in executed
    assert not [name for name in executed if "mm" in name or "matmul" in name]


@pytest.mark.parametrize("name", ["halving", "doubling"])
def test_second_derivatives_exist_as_penalties_need_them(name: str) -> None:
    mine, _, maps = twins(name, torch.float64)
    assert torch.autograd.gradgradcheck(mine, (maps[:1].detach().requires_grad_(),))
    mine.float()


@pytest.mark.parametrize("name", PAIRS)
def test_maps_are_channels_last_for_the_next_layer(name: str) -> None:
    mine, _, maps = twins(name)
    found = mine.to(memory_format=torch.channels_last)(maps.to(memory_format=torch.channels_last))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", PAIRS)
def test_in_bf16_the_error_is_that_of_the_convolution(name: str) -> None:
    mine, theirs, maps = twins(name)
    with torch.autocast("cpu", torch.bfloat16):
        found, rounded = mine(maps), theirs(maps)
    assert found.dtype == rounded.dtype == torch.bfloat16
    exact = theirs(maps)
    assert (found.float() - exact).norm() < 2 * (rounded.float() - exact).norm()


def test_adding_patches_is_the_adjoint_of_cutting_them() -> None:
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 6, 8, generator=rng, dtype=torch.float64)
    patches = torch.randn(2 * 3 * 4, 16 * 3, generator=rng, dtype=torch.float64)
    torch.testing.assert_close((cut_patches(maps) * patches).sum(), (maps * add_patches(patches, (2, 3, 4))).sum())


@pytest.mark.parametrize("size", [28, 32, 64])
def test_dcgan_uses_them_only_at_its_smallest_maps(size: int) -> None:
    from genbench.builtin.models.adversarial import DCGANOptions

    networks = build((3, size, size), 16, 0, DCGANOptions(width=4))
    kinds = [[type(layer) for layer in network] for network in networks.values()]
    for special in (Doubling, Halving):
        assert sum(special in layers for layers in kinds) == (size != 28)
    for special in (FromPixel, ToPixel):
        assert sum(layers.count(special) for layers in kinds) == 1
