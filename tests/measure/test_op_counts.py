"""Operators, memory in use and layouts, against counts by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.measure.op_counts import LiveBytes, Operators
from genbench.measure.op_listener import Listening


def counted(images: Tensor, network: nn.Module) -> Operators:
    operators = Operators()
    with Listening(operators.operation):
        network(images)
    return operators


def test_memory_in_use_is_what_tensors_hold_at_once() -> None:
    live = LiveBytes()
    with Listening(live.operation):
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


def test_a_backward_pass_keeps_what_it_needs_and_gives_it_back() -> None:
    """1,000 weights; kept are exp(w) for the backward pass, and the sum; then its gradient."""
    live, weights = LiveBytes(), torch.ones(1000, requires_grad=True)
    with Listening(live.operation):
        total = weights.exp().sum()
        assert live.now == 4000 + 4
        total.backward()
        del total
    assert live.now == 4000  # the gradient
    assert live.peak == 4000 + 4 + 4 + 4000  # beside exp(w) and the sum: the ones, expanded, and the product


def test_memory_that_was_there_before_does_not_count() -> None:
    live, weights = LiveBytes(), torch.ones(100)
    with Listening(live.operation):
        weights.add_(1)
        torch.ops.aten._unsafe_view(weights, [10, 10])
        weights.t()
    assert (live.now, live.peak) == (0, 0)


def test_what_was_freed_can_be_given_out_again_and_is_counted_again() -> None:
    live = LiveBytes()
    with Listening(live.operation):
        for _ in range(5):
            torch.zeros(500)
    assert (live.now, live.peak) == (0, 2000)


def test_convolutions_are_told_by_their_memory_format() -> None:
    network = nn.Conv2d(3, 8, 3)
    images = torch.rand(2, 3, 8, 8)
    last = torch.channels_last
    assert counted(images, network).channels_last == 0
    assert counted(images.to(memory_format=last), network).channels_last == 0  # the weights are not
    network.to(memory_format=last)  # type: ignore[call-overload]
    assert counted(images, network).channels_last == 0
    found = counted(images.to(memory_format=last), network)
    assert (found.convolutions, found.channels_last, found.conversions) == (1, 1, 0)
    grey = nn.Conv2d(1, 8, 3)  # of one channel, both formats are the same
    assert counted(torch.rand(2, 1, 8, 8), grey).channels_last == 1


def test_copies_from_one_layout_into_another_are_counted() -> None:
    operators, images = Operators(), torch.rand(2, 3, 8, 8)
    with Listening(operators.operation):
        last = images.contiguous(memory_format=torch.channels_last)
        last.flatten(1)  # has to be contiguous first
        last.clone()
        images.to(torch.float64)
    assert operators.conversions == 2


def test_operators_are_counted_beneath_autograd_with_their_views() -> None:
    operators, factor = Operators(), torch.ones(4, 4)
    with Listening(operators.operation):
        torch.nn.functional.linear(torch.ones(2, 4), factor)  # ones, t, mm
    assert operators.calls == 3
    assert operators.flops == 2 * 2 * 4 * 4
