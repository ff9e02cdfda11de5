"""Operator calls, memory in use and layouts, against counts by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.measure.op_counts import MemoryCounter, OpCounter
from genbench.measure.op_listener import OpListener


def counted(images: Tensor, network: nn.Module) -> OpCounter:
    operators = OpCounter()
    with OpListener(operators.operation):
        network(images)
    return operators


def test_memory_in_use_is_that_of_live_tensors() -> None:
    live = MemoryCounter()
    with OpListener(live.operation):
        first = torch.zeros(1000)
        second = first + 1
        assert (live.now, live.peak) == (8000, 8000)
        view = second.view(10, 100)  # no memory of its own
        second.mul_(2)
        del first, second
        assert live.now == 4000  # the view holds it
        third = view.exp()
        assert (live.now, live.peak) == (8000, 8000)
        del view, third
    assert (live.now, live.peak) == (0, 8000)


def test_a_backward_pass_releases_the_memory_it_needs() -> None:
    """1,000 weights: exp(w) is kept for the backward pass, and the sum; afterwards the gradient."""
    live, weights = MemoryCounter(), torch.ones(1000, requires_grad=True)
    with OpListener(live.operation):
        total = weights.exp().sum()
        assert live.now == 4000 + 4
        total.backward()
        del total
    assert live.now == 4000  # the gradient
    assert live.peak == 4000 + 4 + 4 + 4000  # exp(w), the sum, the expanded ones, and the product


def test_memory_allocated_earlier_does_not_count() -> None:
    live, weights = MemoryCounter(), torch.ones(100)
    with OpListener(live.operation):
        weights.add_(1)
        torch.ops.aten._unsafe_view(weights, [10, 10])
        weights.t()
    assert (live.now, live.peak) == (0, 0)


def test_freed_memory_that_is_reused_counts_again() -> None:
    live = MemoryCounter()
    with OpListener(live.operation):
        for _ in range(5):
            torch.zeros(500)
    assert (live.now, live.peak) == (0, 2000)


def test_convolutions_are_counted_by_memory_format() -> None:
    network = nn.Conv2d(3, 8, 3)
    images = torch.rand(2, 3, 8, 8)
    last = torch.channels_last
    assert counted(images, network).channels_last == 0
    assert counted(images.to(memory_format=last), network).channels_last == 0  # the weights are not
    network.to(memory_format=last)  # type: ignore[call-overload]
    assert counted(images, network).channels_last == 0
    found = counted(images.to(memory_format=last), network)
    assert (found.convolutions, found.channels_last, found.conversions) == (1, 1, 0)
    grey = nn.Conv2d(1, 8, 3)  # with one channel, both formats are the same
    assert counted(torch.rand(2, 1, 8, 8), grey).channels_last == 1


def test_copies_between_layouts_are_counted() -> None:
    operators, images = OpCounter(), torch.rand(2, 3, 8, 8)
    with OpListener(operators.operation):
        last = images.contiguous(memory_format=torch.channels_last)
        last.flatten(1)  # must be made contiguous first
        last.clone()
        images.to(torch.float64)
    assert operators.conversions == 2


def test_operators_are_counted_below_autograd_including_views() -> None:
    operators, factor = OpCounter(), torch.ones(4, 4)
    with OpListener(operators.operation):
        torch.nn.functional.linear(torch.ones(2, 4), factor)  # ones, t, mm
    assert operators.calls == 3
    assert operators.flops == 2 * 2 * 4 * 4
