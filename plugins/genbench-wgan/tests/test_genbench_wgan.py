"""Penalties compared with closed forms, and a critic that treats images independently."""

from __future__ import annotations

from collections.abc import Callable

import genbench_wgan
import pytest
import torch
from genbench_wgan import CriticOptions, DivergenceOptions, LipschitzOptions
from genbench_wgan.losses import divergence, one_sided
from genbench_wgan.networks import build
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from genbench import AdversarialLoss
from genbench.api.specs import resolve

LOSSES = {"wgan-lp": one_sided(LipschitzOptions()), "wgan-div": divergence(DivergenceOptions())}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
each_norm = pytest.mark.parametrize("norm", ["layer", "none"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 1, 4, 4, generator=generator(seed))


def linear(norm: float) -> Callable[[Tensor], Tensor]:
    """Return D(x) = a·x with ‖a‖ = norm."""
    a = torch.randn(16, generator=generator(9))
    a *= norm / a.norm()
    return lambda x: x.flatten(1) @ a


def penalty(
    loss: AdversarialLoss, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, seed: int = 0
) -> Tensor:
    assert loss.penalty is not None
    return loss.penalty(critic, real, fake, generator(seed))


def network(norm: str = "none", width: int = 4, size: int = 28) -> nn.Module:
    torch.manual_seed(0)
    return build((1, size, size), 8, 0, CriticOptions(width=width, norm=norm))["discriminator"]


@settings(derandomize=True, deadline=None)
@given(norm=st.floats(1 / 8, 4), weight=st.floats(1 / 8, 100))
def test_a_linear_critic_pays_for_its_norm_above_one_and_for_nothing_else(norm: float, weight: float) -> None:
    value = penalty(one_sided(LipschitzOptions(weight)), linear(norm), images(3), images(3, 1))
    assert value.item() == pytest.approx(weight * max(0.0, norm - 1) ** 2, rel=1e-4, abs=1e-4)


@settings(derandomize=True, deadline=None)
@given(norm=st.floats(1 / 8, 4), weight=st.floats(1 / 8, 100), power=st.floats(2, 8))
def test_a_linear_critic_pays_the_power_of_its_norm(norm: float, weight: float, power: float) -> None:
    value = penalty(divergence(DivergenceOptions(weight, power)), linear(norm), images(3), images(3, 1))
    assert value.item() == pytest.approx(weight * norm**power, rel=1e-4)


def test_the_divergence_of_distant_points_is_maximised_at_the_slope_that_calculus_gives() -> None:
    """A critic D(x) = s·x between points at 0 and W earns sW - k s^p, the most at s = (W / kp)^(1 / (p-1))."""
    distance, k, p = 3.0, 2.0, 6.0
    loss = divergence(DivergenceOptions(k, p))
    real, fake = torch.full((1, 1, 1, 1), distance), torch.zeros(1, 1, 1, 1)

    def total(slope: float) -> float:
        def critic(x: Tensor) -> Tensor:
            return slope * x.flatten()

        return float(loss.discriminator(critic(real), critic(fake)) + penalty(loss, critic, real, fake))

    best = (distance / (k * p)) ** (1 / (p - 1))
    assert total(best) == pytest.approx(k * best**p - best * distance, rel=1e-5)
    assert total(best) < min(total(0.98 * best), total(1.02 * best))


@each_loss
def test_the_penalty_of_a_batch_is_the_mean_of_its_images(loss: AdversarialLoss) -> None:
    critic = network("layer").requires_grad_(False)
    scale = 40.0  # so that slopes exceed 1
    real = torch.randn(4, 1, 28, 28, generator=generator())

    def steep(x: Tensor) -> Tensor:
        return scale * critic(x)

    alone = torch.stack([penalty(loss, steep, image[None], image[None]) for image in real])  # any ε gives the image
    assert alone.min() > 0
    together = penalty(loss, steep, real, real)
    assert together.item() == pytest.approx(alone.mean().item(), rel=1e-4)
    assert penalty(loss, steep, real.repeat(2, 1, 1, 1), real.repeat(2, 1, 1, 1)).item() == pytest.approx(
        together.item(), rel=1e-4
    )


@each_loss
def test_points_lie_between_each_real_image_and_its_fake_with_one_share_per_image(loss: AdversarialLoss) -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = images(64), images(64, 1)
    penalty(loss, critic, real, fake)
    share = ((seen[0] - fake) / (real - fake)).flatten(1)
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-2)
    assert 0 <= share.min() < 0.2
    assert 0.8 < share.max() <= 1.01
    assert share[:, 0].std() > 0.2  # of U(0, 1): 0.29


@each_loss
def test_a_flat_critic_has_a_finite_gradient(loss: AdversarialLoss) -> None:
    """The norm has no derivative at zero: a naive root gives NaN."""
    slope = torch.zeros(16, requires_grad=True)
    value = penalty(loss, lambda x: x.flatten(1) @ slope, images(3), images(3, 1))
    value.backward()
    assert value.item() == 0
    assert slope.grad is not None
    assert slope.grad.abs().max() == 0


@each_loss
def test_the_game_is_the_difference_of_means_even_for_extreme_logits(loss: AdversarialLoss) -> None:
    real, fake = torch.tensor([1e4, 3.0, -2.0, 0.0]), torch.tensor([-1e4, 1.0])
    assert loss.discriminator(real, fake).item() == pytest.approx(-9999 / 2 - 10001 / 4)
    assert loss.generator(fake, None).item() == pytest.approx(9999 / 2)
    doubled = loss.discriminator(real.repeat(2), fake.repeat(2))
    assert doubled.item() == pytest.approx(loss.discriminator(real, fake).item())


def test_a_weight_of_zero_is_no_penalty() -> None:
    assert one_sided(LipschitzOptions(0)).penalty is None
    assert divergence(DivergenceOptions(0)).penalty is None


@each_norm
def test_the_logit_of_an_image_does_not_depend_on_the_other_images(norm: str) -> None:
    critic = network(norm)
    one, other = torch.randn(2, 1, 28, 28, generator=generator()), 5 * torch.randn(3, 1, 28, 28, generator=generator(1))
    together = critic(torch.cat([one, other]))[:2]
    assert torch.allclose(critic(one), together, atol=1e-5)
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in critic.modules())


@each_norm
def test_untrained_logits_are_neither_tiny_nor_huge_and_have_both_signs(norm: str) -> None:
    logits = network(norm, width=16, size=64)(torch.randn(64, 1, 64, 64, generator=generator()))
    assert 0.05 < logits.std() < 5
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize(
    ("size", "channels", "norm", "counts"),
    [
        (28, 3, "layer", (761_728, 140_672)),
        (28, 3, "none", (761_728, 140_608)),
        (32, 3, "layer", (1_068_928, 663_296)),
        (32, 3, "none", (1_068_928, 662_976)),
        (64, 3, "layer", (3_576_704, 2_765_568)),  # both as dcgan at 64 pixels
        (64, 3, "none", (3_576_704, 2_764_736)),
        (28, 1, "layer", (759_680, 138_624)),  # less 2·16·64 weights of colours in each network
    ],
)
def test_parameter_counts(size: int, channels: int, norm: str, counts: tuple[int, int]) -> None:
    with torch.device("meta"):
        networks = build((channels, size, size), 100, 0, CriticOptions(norm=norm))
    assert tuple(sum(p.numel() for p in network.parameters()) for network in networks.values()) == counts


def test_images_and_logits_have_the_declared_shapes() -> None:
    (spec,) = genbench_wgan.genbench_models()
    for shape in spec.image_shapes or ():
        networks = resolve(spec.build)(shape, spec.latent_dim, 0, CriticOptions(width=4))
        made = networks["generator"](torch.randn(2, spec.latent_dim))
        assert made.shape == (2, *shape)
        assert made.abs().max() <= 1
        assert networks["discriminator"](made).shape == (2,)


def test_the_losses_leave_the_names_of_genbenchs_own_alone_and_share_their_recipe() -> None:
    from genbench.plugins.catalogue import discover

    entries = discover([]).entries("losses")
    ours = list(genbench_wgan.genbench_losses())
    assert [spec.name for spec in ours] == ["wgan-lp", "wgan-div"]
    assert entries["wgan-gp"].plugin.origin == "builtin"
    assert all(dict(spec.recipe) == dict(entries["wgan-gp"].spec.recipe) for spec in ours)
