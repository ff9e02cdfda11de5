"""Curves of one kind share a figure, and every kind has its own axis."""

from __future__ import annotations

import pytest

from genbench.report.html.curves import kind_of


@pytest.mark.parametrize(
    ("term", "caption"),
    [
        ("discriminator", "loss terms"),
        ("generator.weighted_total", "loss terms"),
        ("autoencoder.kl", "loss terms"),
        ("discriminator.penalty", "loss terms"),
        ("discriminator.real_logit", "logits of the discriminator"),
        ("discriminator.margin", "logits of the discriminator"),
        ("discriminator.accuracy_fake", "discriminator accuracy, and augmentation probability"),
        ("discriminator.augment_probability", "discriminator accuracy, and augmentation probability"),
        ("gradient_norm.generator", "gradient norm of each network"),
        ("diversity", "diversity of samples relative to the data"),
    ],
)
def test_a_term_has_its_figure(term: str, caption: str) -> None:
    assert kind_of(term) == caption
