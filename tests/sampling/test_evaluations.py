"""How often networks are evaluated for an image is counted by listening to them."""

from __future__ import annotations

import torch
from torch import nn

from genbench.sampling.evaluations import count_evaluations


def test_each_pass_over_all_images_counts_once_whatever_the_batches() -> None:
    first, second, idle = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    with count_evaluations([first, second, idle]) as found:
        for size in (5, 3):  # images in two batches
            for _ in range(35):
                hidden = first(torch.ones(size, 2))
            second(torch.cat([hidden, hidden]))  # twice, as with guidance
    assert found.per_image(8) == 35 + 2
    first(torch.ones(5, 2))
    assert found.per_image(8) == 35 + 2


def test_a_network_without_inputs_is_one_evaluation() -> None:
    class Constant(nn.Module):
        def forward(self) -> torch.Tensor:
            return torch.zeros(())

    network = Constant()
    with count_evaluations([network]) as found:
        network()
        network()
    assert found.per_image(1) == 2
