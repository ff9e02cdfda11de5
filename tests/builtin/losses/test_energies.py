"""Losses of energies: closed forms, and the controller of BEGAN."""

from __future__ import annotations

import pytest
import torch

from genbench.api.training import Objective
from genbench.builtin.losses.adversarial import EquilibriumOptions, MarginOptions, PullingOptions
from genbench.builtin.losses.adversarial.energies import (
    absolute_error,
    began,
    ebgan,
    ebgan_pt,
    pulling_away,
    squared_error,
)


def test_energies_are_means_over_the_values_of_each_image() -> None:
    images, reconstructions = torch.zeros(2, 1, 2, 2), torch.tensor([2.0, -4.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    assert absolute_error(images, reconstructions).tolist() == [2, 4]
    assert squared_error(images, reconstructions).tolist() == [4, 16]


def test_k_moves_by_the_gain_times_the_imbalance_and_stays_between_0_and_1() -> None:
    """L(x) = 4, L(G(z)) = 1, γ = ½: the balance is 1; k starts at 0 and weighs the fakes of the next update."""
    loss = began(EquilibriumOptions(gamma=0.5, gain=0.25))
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([0.5, 1.5])
    totals, found = [], []
    for _ in range(6):
        objective = loss.discriminator(real, fake)
        assert isinstance(objective, Objective)
        totals.append(float(objective.total))
        found.append(float(objective.terms["k"]))
        assert float(objective.terms["convergence"]) == pytest.approx(4 + 1)
    assert found == [0, 0.25, 0.5, 0.75, 1, 1]
    assert totals == [4 - k for k in found]
    assert loss.module is not None
    for _ in range(9):
        loss.discriminator(torch.tensor([0.0]), torch.tensor([8.0]))
    assert float(loss.module.state_dict()["k"]) == 0


def test_the_controller_passes_no_gradient_on() -> None:
    loss = began(EquilibriumOptions(gain=0.5))
    for _ in range(2):
        real, fake = torch.tensor([4.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
        objective = loss.discriminator(real, fake)
        assert isinstance(objective, Objective)
        gradients = torch.autograd.grad(objective.total, (real, fake))
    assert [float(g) for g in gradients] == [1, -0.5]


def test_the_margin_bounds_the_reward_for_high_energies_of_fakes() -> None:
    loss = ebgan(MarginOptions(margin=3.0))
    assert loss.discriminator(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 9.0])) == 2 + 0.5
    assert loss.generator(torch.tensor([2.0, 4.0]), None) == 3


def test_the_pulling_away_term_is_the_mean_squared_cosine_of_pairs() -> None:
    """Of the three pairs of (1, 0), (0, 2) and (3, 3), one is orthogonal and two are at 45°: (0 + ½ + ½) / 3."""
    assert float(pulling_away(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))) == pytest.approx(1 / 3)
    assert float(pulling_away(torch.tensor([[1.0, 2.0], [-2.0, -4.0]]))) == pytest.approx(1)
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    value = pulling_away(codes)
    (gradient,) = torch.autograd.grad(value, codes)
    assert float(value) == 0
    assert bool(gradient.isfinite().all())


def test_the_pulling_away_term_concerns_the_codes_of_fakes_alone() -> None:
    loss = ebgan_pt(PullingOptions(margin=3.0, pulling_away=0.5))
    assert loss.features is not None
    real, fake = torch.eye(2), torch.ones(2, 2)
    assert float(loss.features(real, fake)) == pytest.approx(0.5)
    assert float(loss.features(fake, real)) == 0
