"""Adversarial autoencoder: sizes, the game over codes, and its optimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from genbench_autoencoders.adversarial.loss import discriminator_loss, encoder_loss


def test_the_networks_have_the_sizes_of_the_paper(make_networks: Callable[..., Any]) -> None:
    """Two hidden layers of 1,000, 784 values and 8 latents; a dense layer has inputs x outputs + outputs."""
    hidden = 1000 * 1000 + 1000
    expected = {
        "encoder": 784 * 1000 + 1000 + hidden + 1000 * 8 + 8,
        "decoder": 8 * 1000 + 1000 + hidden + 1000 * 784 + 784,
        "latent_discriminator": 8 * 1000 + 1000 + hidden + 1000 + 1,
    }
    networks = make_networks("aae", (1, 28, 28), 8)
    assert {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()} == expected
    conditional = make_networks("conditional-aae", (1, 28, 28), 8)
    for name, network in conditional.items():  # ten more inputs
        assert sum(p.numel() for p in network.parameters()) == expected[name] + 10 * 1000


def test_the_terms_have_their_closed_forms() -> None:
    zero = torch.zeros(2)
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(encoder_loss(zero)) == pytest.approx(math.log(2))


def test_the_best_discriminator_is_the_log_ratio_of_prior_and_codes() -> None:
    """Codes of N(1, 1): log N(z; 0, 1) - log N(z; 1, 1) = 1/2 - z has no gradient; other lines have one."""
    grid = torch.linspace(-9, 10, 20_001, dtype=torch.float64)
    prior, codes = (torch.exp(-0.5 * (grid - mean) ** 2) for mean in (0.0, 1.0))

    def gradient(offset: float, slope: float) -> torch.Tensor:
        line = torch.tensor([offset, slope], dtype=torch.float64, requires_grad=True)
        logits = line[0] + line[1] * grid
        total = (prior * torch.nn.functional.softplus(-logits)).sum() / prior.sum()
        total = total + (codes * torch.nn.functional.softplus(logits)).sum() / codes.sum()
        return torch.autograd.grad(total, line)[0]

    assert gradient(0.5, -1.0).abs().max() < 1e-6
    assert gradient(0.5, -0.9).abs().max() > 1e-2


def test_the_discriminator_learns_nothing_about_the_encoder(
    make_family: Callable[..., Any], make_batch: Callable[..., Any]
) -> None:
    """Its phase has no gradient in the encoder, and the encoder's phase one of the opposite sign of fooling."""
    family = make_family("aae", (1, 4, 4), 2, hidden=8)
    batch = make_batch(6, (1, 4, 4))
    total = family.discriminator_objective(batch).total
    encoder = list(family.encoder.parameters())
    assert torch.autograd.grad(total, encoder, allow_unused=True)[0] is None
    assert torch.autograd.grad(family.encoder_objective(batch).total, encoder)[0].abs().max() > 0
