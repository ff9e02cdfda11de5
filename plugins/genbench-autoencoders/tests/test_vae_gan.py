"""VAE-GAN: closed forms, gradients of three separate passes, and the operations that one pass saves."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from genbench_autoencoders import vae_gan
from genbench_autoencoders.vae_gan import SimilarityOptions, VAEGANOptions
from genbench_autoencoders.vae_gan.family import VAEGAN
from genbench_autoencoders.vae_gan.loss import (
    LearnedSimilarity,
    decoder_game,
    discriminator_loss,
    feature_distance,
    kl_to_standard_normal,
)
from genbench_autoencoders.vae_gan.networks import build
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import genbench

(MODEL,) = vae_gan.models()
CPU = torch.device("cpu")
SHAPE = (1, 8, 12)
PLAYERS = ("encoder", "decoder", "discriminator")


def family(width: int = 4, gamma: float = 0.5, shape: genbench.Shape = SHAPE) -> VAEGAN:
    torch.manual_seed(0)
    networks = build(shape, 3, 0, VAEGANOptions(width=width))
    loss = LearnedSimilarity(SimilarityOptions(gamma=gamma))
    return VAEGAN(genbench.Setup(networks, loss, MODEL, 3, 0, {"precision": "fp32"}, CPU, image_shape=shape))


def batch(count: int = 6, shape: genbench.Shape = SHAPE) -> genbench.Batch:
    images = torch.rand((count, *shape), generator=torch.Generator().manual_seed(1)) * 2 - 1
    return genbench.Batch(images, None, torch.Generator().manual_seed(2), True, {})


def test_the_terms_have_their_closed_forms() -> None:
    zero = torch.zeros(2)
    assert float(discriminator_loss(zero, zero, zero)) == pytest.approx(3 * math.log(2))
    assert float(decoder_game(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(feature_distance(torch.zeros(2, 3, 1), torch.tensor([1.0, 2.0]).view(2, 1, 1).expand(2, 3, 1))) == 3.75
    assert float(kl_to_standard_normal(torch.ones(5, 2), torch.zeros(5, 2))) == 1


def objectives(made: VAEGAN, given: genbench.Batch) -> dict[str, Tensor]:
    return {phase.name: phase.objective(given).total for phase in made.phases()}


def test_each_network_minimises_its_own_objective() -> None:
    """The gradients are those of KL + S, of γ S + G and of the discriminator's loss in passes of their own."""
    made = family(gamma=0.5)
    totals = objectives(made, batch())
    for name in PLAYERS:
        parameters = list(made.setup.networks[name].parameters())
        found = torch.autograd.grad(totals[name], parameters, retain_graph=True)
        other = copy.deepcopy(made.setup.networks)
        separate = VAEGAN(genbench.Setup(other, made.loss, MODEL, 3, 0, {}, CPU))
        one = separate.forward(batch())
        expected = {
            "encoder": one.kl + one.similarity,
            "decoder": 0.5 * one.similarity + decoder_game(one.reconstructed, one.sampled),
            "discriminator": discriminator_loss(one.real, one.reconstructed, one.sampled),
        }[name]
        wanted = torch.autograd.grad(expected, list(other[name].parameters()))
        for gradient, want in zip(found, wanted, strict=True):
            assert torch.allclose(gradient, want, rtol=1e-4, atol=1e-6)


class Separate(VAEGAN):
    """The same three updates, each from a forward pass of its own."""

    joint = ""

    def phases(self) -> Any:
        def own_pass(phase: genbench.Phase) -> genbench.Phase:
            def objective(given: genbench.Batch) -> genbench.Objective:
                self.encoder_objective(given)  # makes the pass
                return phase.objective(given)

            frozen = tuple(name for name in PLAYERS if name not in phase.networks)
            first = phase.name == "encoder"
            return genbench.Phase(phase.name, phase.networks, phase.objective if first else objective, frozen=frozen)

        return [own_pass(phase) for phase in super().phases()]


def operations(made: VAEGAN, shape: genbench.Shape) -> int:
    """Return the operations of one step, counted by torch; backward passes as the engine makes them."""
    given = batch(2, shape)
    counter = FlopCounterMode(display=False)
    with counter:
        phases = list(made.phases())
        if phases[0].joint:
            totals = [(phase, phase.objective(given).total) for phase in phases]
            for phase, total in totals:
                inputs = list(made.setup.networks[phase.networks[0]].parameters())
                total.backward(inputs=inputs, retain_graph=True)
        else:
            for phase in phases:
                for name in phase.frozen:
                    made.setup.networks[name].requires_grad_(False)
                phase.objective(given).total.backward()
                for name in phase.frozen:
                    made.setup.networks[name].requires_grad_(True)
    return counter.get_total_flops()


def test_one_pass_takes_fewer_operations_than_three() -> None:
    """The difference is exactly the two forward passes that are saved; in separate passes, other players are frozen."""
    shape = (1, 28, 28)
    joint, made = family(64, shape=shape), family(64, shape=shape)
    separate = Separate(made.setup)
    forward = FlopCounterMode(display=False)
    with forward, torch.no_grad():
        joint.forward(batch(2, shape))
    one, three = operations(joint, shape), operations(separate, shape)
    assert three - one == 2 * forward.get_total_flops()
    assert 0.55 < one / three < 0.75


def test_the_networks_have_the_documented_sizes() -> None:
    networks = build((1, 28, 28), 64, 0, VAEGANOptions())
    counts = [sum(p.numel() for p in networks[name].parameters()) for name in PLAYERS]
    assert counts == [935_616, 540_225, 138_561]


def test_images_of_any_multiple_of_four_are_reconstructed() -> None:
    for shape in ((1, 8, 12), (3, 28, 28), (2, 20, 8)):
        made = family(shape=shape)
        images = batch(2, shape).images
        assert made.reconstruct(images).shape == images.shape
        made.check_networks(images)


def test_a_discriminator_without_features_is_refused() -> None:
    made = family()
    made.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(96, 1))
    with pytest.raises(genbench.SpecError, match=r"returned \(6, 1\) instead of logits"):
        made.check_networks(batch().images)
