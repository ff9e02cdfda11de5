"""VQ-VAE-2: sizes, gradients past the codes, codebooks that follow averages, causal priors, and the bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from genbench_autoencoders.vq_vae_2.loss import straight_through
from torch import nn

TINY = {"width": 8, "residual_width": 4, "codes": 7, "prior_width": 6, "prior_layers": 1}
SHAPE = (1, 28, 28)


def test_the_networks_have_the_sizes_of_the_paper(make_networks: Callable[..., Any]) -> None:
    """Maps 128, residual maps 64, two residual blocks, 512 codes of 64 values, at two levels."""
    networks = make_networks("vq-vae-2", SHAPE, 64, width=128, residual_width=64)

    def conv(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + outputs

    residuals = 2 * (conv(128, 64, 3) + conv(64, 128, 1))
    expected = {
        "bottom_encoder": conv(1, 64, 4) + conv(64, 128, 4) + conv(128, 128, 3) + residuals,
        "top_encoder": conv(128, 64, 3) + conv(64, 128, 3) + residuals + conv(128, 64, 1),
        "conditional_encoder": conv(64, 128, 3) + residuals + conv(128, 64, 3) + conv(64 + 128, 64, 1),
        "decoder": conv(64, 64, 3) + conv(128, 128, 3) + residuals + conv(128, 64, 4) + conv(64, 1, 4),
    }
    counts = {name: sum(p.numel() for p in networks[name].parameters()) for name in expected}
    assert counts == expected
    assert networks["top_codebook"].vectors.shape == networks["bottom_codebook"].vectors.shape == (512, 64)


def test_gradients_pass_codes_as_if_nothing_had_been_quantised() -> None:
    encoded, vectors = torch.tensor([0.2, 0.7], requires_grad=True), torch.tensor([0.0, 1.0])
    passed = straight_through(encoded, vectors)
    assert torch.equal(passed, vectors)
    assert torch.autograd.grad((passed * torch.tensor([3.0, 5.0])).sum(), encoded)[0].tolist() == [3, 5]


def test_both_encoders_learn_from_the_decoder(make_family: Callable[..., Any], make_batch: Callable[..., Any]) -> None:
    """Without the commitment terms, the gradient of the reconstruction still reaches every encoder."""
    family = make_family("vq-vae-2", SHAPE, 4, {"commitment": 0.0}, **TINY)
    total = family.autoencoder_objective(make_batch(3, SHAPE)).total
    for name in ("bottom_encoder", "top_encoder", "conditional_encoder", "decoder"):
        first = next(iter(family.networks[name].parameters()))
        assert torch.autograd.grad(total, first, retain_graph=True)[0].abs().max() > 0


def test_codebooks_follow_averages_in_training_only(
    make_family: Callable[..., Any], make_batch: Callable[..., Any]
) -> None:
    """After two equal batches, a vector in use is the mean of its encodings, weighted by 0.99 and 0.01 alike."""
    family = make_family("vq-vae-2", SHAPE, 4, **TINY)
    images = make_batch(3, SHAPE).images
    with torch.no_grad():
        family.quantise(images)  # resets the vectors to encodings of the batch
        books = {"top_codebook": 0, "bottom_codebook": 1}
        for name, level in books.items():
            book = family.networks[name]
            counts, sums = book.counts.clone(), book.sums.clone()
            found = family.quantise(images)[level]
            flat = found.encoded.movedim(1, -1).flatten(0, -2)
            one_hot = torch.nn.functional.one_hot(found.codes.flatten(), book.size).float()
            expected_counts = 0.99 * counts + 0.01 * one_hot.sum(0)
            used = expected_counts >= 0.1 * len(flat) / book.size
            expected = (0.99 * sums + 0.01 * one_hot.T @ flat) / expected_counts[:, None]
            assert bool(used.any())
            assert torch.allclose(book.vectors[used], expected[used], atol=1e-4)
        for network in family.networks.values():
            network.eval()
        before = family.networks["top_codebook"].vectors.clone()
        family.quantise(images)
        assert torch.equal(family.networks["top_codebook"].vectors, before)


def test_the_bottom_prior_sees_earlier_codes_and_all_top_codes(make_networks: Callable[..., Any]) -> None:
    prior = make_networks("vq-vae-2", SHAPE, 4, **TINY)["bottom_prior"].eval()
    rng = torch.Generator().manual_seed(0)
    codes, top = torch.randint(7, (1, 7, 7), generator=rng), torch.randint(7, (1, 4, 4), generator=rng)
    logits = prior(codes, top)
    changed = codes.clone()
    changed[0, 3, 4] = (changed[0, 3, 4] + 1) % 7
    same = (prior(changed, top) == logits).all(1)[0]
    assert bool(same[:3].all()) and bool(same[3, :5].all())  # the code itself included
    assert not bool(same[3, 5])
    other = top.clone()
    other[0, 3, 3] = (other[0, 3, 3] + 1) % 7  # the last top code reaches the last bottom codes
    assert not torch.allclose(prior(codes, other)[..., 6, 6], logits[..., 6, 6])


def test_labels_change_what_is_drawn(make_family: Callable[..., Any]) -> None:
    family = make_family("conditional-vq-vae-2", SHAPE, 4, **TINY)
    for name in ("top_prior", "bottom_prior"):
        nn.init.normal_(family.networks[name].label.weight, std=10)
    one, two = (family.sample(2, torch.Generator().manual_seed(0), torch.tensor([label] * 2)) for label in (0, 1))
    assert one.shape == (2, *SHAPE) and not torch.allclose(one, two)


def test_uniform_priors_cost_the_logarithm_of_the_number_of_codes(make_family: Callable[..., Any]) -> None:
    """16 top and 49 bottom codes of 7 values: (16 + 49) log 7 nats; codes are certain, so that is the whole rate."""
    family = make_family("vq-vae-2", SHAPE, 4, {"likelihood": "logistic"}, **TINY)
    for network in family.networks.values():
        network.eval()
    for name in ("top_prior", "bottom_prior"):
        last = family.networks[name].grid.output[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    with torch.no_grad():
        found = family.bound(torch.rand(2, *SHAPE), 3, torch.Generator().manual_seed(0))
    assert found.rate.tolist() == pytest.approx([65 * math.log(7)] * 2, rel=1e-5)
    assert torch.allclose(found.log_weights, -(found.rate + found.distortion).expand(3, 2))
