"""Projected GAN: frozen features, frozen random mixing, and discriminators that are trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from genbench_attention_gan import ProjectedOptions, projected
from genbench_attention_gan.projected import Mixing
from torch import Tensor, nn

import genbench


def networks(seed: int = 0, shape: genbench.Shape = (1, 28, 28), **options: Any) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    return projected.build(shape, 128, 0, ProjectedOptions(width=8, **options))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def buffers_of_mixing(seed: int) -> dict[str, Tensor]:
    return dict(networks(seed)["discriminator"].mixing.named_buffers())  # type: ignore[union-attr, operator, arg-type]


def test_only_the_discriminators_are_trained() -> None:
    network = networks()["discriminator"]
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"heads"}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    sum(logits.square().mean() for logits in network(random(2, 1, 28, 28))).backward()  # type: ignore[union-attr]
    optimiser.step()
    changed = {
        name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"heads"}


def test_the_generator_learns_through_the_frozen_features() -> None:
    made = networks()
    sum(logits.mean() for logits in made["discriminator"](made["generator"](random(4, 128)))).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in made["generator"].parameters())


def test_the_mixing_is_fixed_by_the_seed_and_stored_with_the_weights() -> None:
    one, same, other = buffers_of_mixing(0), buffers_of_mixing(0), buffers_of_mixing(1)
    assert len(one) == 5  # three levels across channels, two across scales
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    restored, network = networks(1)["discriminator"], networks(0)["discriminator"]
    restored.load_state_dict(network.state_dict())
    images = random(2, 1, 28, 28)
    for found, expected in zip(restored.eval()(images), network.eval()(images), strict=True):
        assert torch.equal(found, expected)


def test_the_mixing_is_that_of_its_equation() -> None:
    """m_2 = W_2 f_2, m_1 = W_1 f_1 + up(V_1 m_2); without scales W_l f_l, without channels f_l."""
    torch.manual_seed(0)
    mixing, maps = Mixing((3, 5), "scales"), [random(2, 3, 6, 6), random(2, 5, 3, 3)]
    w1, w2, v1 = (mixing.get_buffer(name) for name in ("across_channels_0", "across_channels_1", "across_scales_0"))
    fine, coarse = mixing(maps)
    assert torch.allclose(coarse, torch.einsum("oi,bihw->bohw", w2[:, :, 0, 0], maps[1]), atol=1e-5)
    up = nn.functional.interpolate(nn.functional.conv2d(coarse, v1, padding=1), (6, 6), mode="bilinear")
    assert torch.allclose(fine, torch.einsum("oi,bihw->bohw", w1[:, :, 0, 0], maps[0]) + up, atol=1e-5)
    alone = Mixing((3, 5), "channels")
    alone.load_state_dict({name: value for name, value in mixing.state_dict().items() if "scales" not in name})
    assert torch.equal(alone(maps)[1], coarse)
    assert torch.allclose(alone(maps)[0], fine - up, atol=1e-5)
    assert all(torch.equal(one, other) for one, other in zip(Mixing((3, 5), "none")(maps), maps, strict=True))


def test_random_weights_keep_the_mean_square() -> None:
    torch.manual_seed(0)
    maps = [random(8, 256, 4, 4)]
    (mixed,) = Mixing((256,), "channels")(maps)
    assert float(mixed.square().mean() / maps[0].square().mean()) == pytest.approx(1, abs=0.15)


def test_mixing_across_channels_loses_nothing() -> None:
    """The matrix is square, and can be inverted."""
    torch.manual_seed(0)
    mixing, maps = Mixing((16,), "channels"), [random(2, 16, 4, 4)]
    inverse = torch.linalg.inv(mixing.get_buffer("across_channels_0")[:, :, 0, 0])
    assert torch.allclose(torch.einsum("oi,bihw->bohw", inverse, mixing(maps)[0]), maps[0], atol=1e-2)


def test_the_coarsest_features_reach_the_finest_discriminator_only_across_scales() -> None:
    torch.manual_seed(0)
    for mixing, reaches in (("scales", True), ("channels", False)):
        maps = [random(1, 4, 8, 8), random(1, 6, 4, 4).requires_grad_()]
        fine = Mixing((4, 6), mixing)(maps)[0]
        assert fine.requires_grad == reaches


@pytest.mark.parametrize(("size", "channels", "side"), [(28, 1, 3), (32, 3, 4), (64, 1, 4), (128, 3, 4)])
def test_each_scale_has_a_small_map_of_logits(size: int, channels: int, side: int) -> None:
    made = networks(shape=(channels, size, size))
    with torch.no_grad():
        images = made["generator"](random(2, 128))
        assert images.shape == (2, channels, size, size)
        assert [tuple(logits.shape) for logits in made["discriminator"](images)] == [(2, 1, side, side)] * 3


def test_parameter_counts_at_the_default_width() -> None:
    """The frozen features and the mixing are not counted: they are not trained."""
    made = projected.build((1, 28, 28), 128, 0, ProjectedOptions())
    found = {name: sum(p.numel() for p in network.parameters()) for name, network in made.items()}
    conv = lambda inputs, outputs, side: side**2 * inputs * outputs + outputs  # noqa: E731
    heads = sum(conv(inputs, 64, 3) + conv(64, 1, 3) for inputs in (32, 64, 128)) + 3 * conv(64, 64, 4)
    assert found == {"generator": 442_273, "discriminator": heads}
    assert heads == 327_747
