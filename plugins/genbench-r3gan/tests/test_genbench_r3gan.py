"""The networks have the properties that the paper states."""

from __future__ import annotations

import genbench_r3gan
import pytest
import torch
from genbench_r3gan import R3GANOptions
from genbench_r3gan.networks import Block, LearntMaps, build
from torch import Tensor, nn

from genbench.api.specs import resolve

SMALL = R3GANOptions(width=8, depth=1)
SHAPE = (1, 28, 28)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def networks(options: R3GANOptions = SMALL) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return build(SHAPE, 16, 0, options)


@pytest.mark.parametrize(
    ("size", "channels", "width", "counts"),
    [
        (28, 3, 16, (118_256, 114_224)),
        (32, 3, 16, (186_288, 182_256)),
        (64, 3, 16, (256_432, 252_400)),
        (32, 1, 16, (186_256, 182_224)),
        (32, 3, 32, (529_248, 521_184)),
    ],
)
def test_parameter_counts(size: int, channels: int, width: int, counts: tuple[int, int]) -> None:
    with torch.device("meta"):
        made = build((channels, size, size), 64, 0, R3GANOptions(width=width))
    assert tuple(sum(p.numel() for p in network.parameters()) for network in made.values()) == counts


def test_images_and_logits_have_the_declared_shapes() -> None:
    (spec,) = genbench_r3gan.genbench_models()
    for shape in spec.image_shapes or ():
        made = resolve(spec.build)(shape, spec.latent_dim, 0, SMALL)
        images = made["generator"](noise(2, spec.latent_dim))
        assert images.shape == (2, *shape)
        assert images.abs().max() <= 1
        assert made["discriminator"](images).shape == (2,)


def test_nothing_is_normalised_across_images() -> None:
    for network in networks().values():
        names = {type(module).__name__ for module in network.modules()}
        assert not any("Norm" in name for name in names)
    discriminator = networks()["discriminator"]
    one, others = noise(1, *SHAPE), 9 * noise(3, *SHAPE, seed=1)
    assert torch.allclose(discriminator(one), discriminator(torch.cat([one, others]))[:1], atol=1e-5)


def test_blocks_start_as_the_identity_and_a_network_as_one_linear_map() -> None:
    maps = noise(2, 24, 5, 5)
    assert torch.equal(Block(24, 6)(maps), maps)
    discriminator = networks()["discriminator"]
    one, other = noise(4, *SHAPE), noise(4, *SHAPE, seed=1)
    assert torch.allclose(
        discriminator(2 * one - 3 * other), 2 * discriminator(one) - 3 * discriminator(other), atol=1e-4
    )


@pytest.mark.parametrize("blocks", [1, 16])
def test_the_first_convolutions_are_he_normal_and_shrink_with_the_fourth_root_of_the_blocks(blocks: int) -> None:
    torch.manual_seed(0)
    first, _, grouped, _, last = Block(256, blocks).residual
    for convolution, fan_in in ((first, 256), (grouped, 16 * 9)):
        expected = (2 / (1 + 0.2**2) / fan_in) ** 0.5 / blocks**0.25
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert last.weight.abs().max() == 0


@pytest.mark.parametrize(("channels", "inner"), [(16, 32), (8, 16), (20, 48)])
def test_bottlenecks_are_inverted_and_their_groups_have_sixteen_channels(channels: int, inner: int) -> None:
    _, _, grouped, _, _ = Block(channels, 1).residual
    assert grouped.in_channels == inner
    assert grouped.in_channels // grouped.groups == 16


def test_the_first_maps_are_a_linear_function_of_the_latents() -> None:
    torch.manual_seed(0)
    layer = LearntMaps(16, 8, 4)
    one, other = noise(3, 16), noise(3, 16, seed=1)
    assert torch.allclose(layer(one + 2 * other), layer(one) + 2 * layer(other), atol=1e-5)
    assert layer(one).shape == (3, 8, 4, 4)


def test_sizes_change_bilinearly() -> None:
    """Halving bilinearly is the mean of 2×2 pixels, which is how the discriminator does it."""
    maps = noise(2, 3, 8, 8)
    halved = nn.functional.interpolate(maps, scale_factor=0.5, mode="bilinear")
    assert torch.allclose(nn.AvgPool2d(2)(maps), halved, atol=1e-6)
    ups = [m for m in networks()["generator"].modules() if isinstance(m, nn.Upsample)]
    assert [(m.mode, m.scale_factor) for m in ups] == [("bilinear", 2.0)] * 2


def test_untrained_images_use_their_range_and_untrained_logits_have_both_signs() -> None:
    made = networks(R3GANOptions())
    assert 0.2 < made["generator"](noise(64, 16)).std() < 0.8
    logits = made["discriminator"](noise(64, *SHAPE))
    assert 0.02 < logits.std() < 5
    assert logits.min() < 0 < logits.max()


def test_every_parameter_gets_a_gradient_in_the_second_step() -> None:
    """In the first step only the zeros at the ends of blocks and the layers outside of blocks get one."""
    made = networks()
    loss = nn.functional.softplus
    images, latents = noise(8, *SHAPE), noise(8, 16, seed=1)
    parameters = [p for network in made.values() for p in network.parameters()]
    optimizer = torch.optim.SGD(parameters, 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        fake = made["generator"](latents)
        loss(made["discriminator"](fake) - made["discriminator"](images)).mean().backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in parameters)
