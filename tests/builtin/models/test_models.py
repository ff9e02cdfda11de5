"""The built-in models: published parameter counts, layers and initialisation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from built_models import SPECS, build, count, images, labels, rng
from torch import nn
from torch.nn.utils import parametrize

from genbench.api.images import Shape
from genbench.builtin.models.adversarial.spectral_norm import SpectralNorm, normalise_spectrally


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("dcgan", (3, 64, 64), (3_576_704, 2_765_568)),  # the widely used 64-pixel DCGAN
        ("dcgan", (3, 32, 32), (1_068_928, 663_296)),
        ("dcgan", (3, 128, 128), (12_786_560, 11_164_416)),
        ("dcgan", (3, 28, 28), (761_728, 140_672)),
        ("gan", (1, 28, 28), (1_510_032, 533_505)),
        ("vae", (1, 28, 28), (784 * 400 + 400 + 2 * (400 * 20 + 20), 20 * 400 + 400 + 400 * 784 + 784)),
        ("conv-vae", (1, 28, 28), (6_689_344, 6_642_241)),
        ("infogan-28", (1, 28, 28), (6_642_241, 6_559_169)),
        ("sn-dcgan", (3, 28, 28), (2_275_651, 711_233)),
        ("sn-dcgan", (3, 32, 32), (3_811_907, 2_935_873)),
        ("sn-dcgan", (3, 48, 48), (5_132_867, 2_946_113)),
        ("sn-dcgan", (3, 64, 64), (6_982_211, 2_960_449)),
        ("sn-dcgan", (3, 128, 128), (19_663_427, 3_058_753)),
        ("resnet-gan", (3, 32, 32), (4_276_739, 1_053_825)),
        ("resnet-gan", (3, 64, 64), (8_541_443, 9_578_689)),
    ],
)
def test_parameter_counts(name: str, shape: Shape, expected: tuple[int, int]) -> None:
    assert counts(name, shape) == list(expected)


def counts(name: str, shape: Shape, classes: int | None = None) -> list[int]:
    return [count(network) for network in build(name, shape, classes).values()]


def conv(inputs: int, outputs: int, kernel: int, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 + outputs * bias


def test_counts_of_sn_dcgan_follow_from_table_3_of_miyato_et_al() -> None:
    dense = 128 * 512 * 16 + 512 * 16
    ups = sum(conv(i, o, 4, bias=False) + 2 * o for i, o in [(512, 256), (256, 128), (128, 64)])
    steps = [(3, 64, 3), (64, 64, 4), (64, 128, 3), (128, 128, 4), (128, 256, 3), (256, 256, 4), (256, 512, 3)]
    expected = (dense + ups + conv(64, 3, 3), sum(conv(*step) for step in steps) + 512 * 16 + 1)
    assert counts("sn-dcgan", (3, 32, 32)) == list(expected)


def test_counts_of_resnet_gan_follow_from_table_4_of_miyato_et_al() -> None:
    block = 2 * conv(256, 256, 3) + conv(256, 256, 1) + 2 * 2 * 256
    generator = 128 * 256 * 16 + 256 * 16 + 3 * block + 2 * 256 + conv(256, 3, 3)
    first = conv(3, 128, 3) + conv(128, 128, 3) + conv(3, 128, 1)
    down = 2 * conv(128, 128, 3) + conv(128, 128, 1)
    discriminator = first + down + 2 * 2 * conv(128, 128, 3) + 128 + 1
    assert counts("resnet-gan", (3, 32, 32)) == [generator, discriminator]


@pytest.mark.parametrize(("size", "smallest"), [(28, 2 * 64 * 49), (32, 4 * 64 * 16), (64, 8 * 64 * 16)])
def test_variants_of_dcgan_differ_from_it_only_as_their_names_say(size: int, smallest: int) -> None:
    shape, classes = (3, size, size), 10
    kernel = 49 if size == 28 else 16
    features = smallest // kernel
    generator, discriminator = counts("dcgan", shape)
    assert counts("dcgan-dense", shape) == [generator + smallest, discriminator]
    assert counts("dcgan-vae", shape) == [discriminator + 199 * smallest, generator]
    assert counts("acgan", shape, classes) == [
        generator + classes * smallest,
        discriminator + classes * smallest,
    ]
    assert counts("cdcgan", shape, classes) == [
        generator + 50 * (classes + smallest),
        discriminator - smallest + features + 1 + classes * features,
    ]


@pytest.mark.parametrize(("size", "smallest", "halvings"), [(28, 7, 2), (32, 8, 2), (64, 8, 3)])
def test_the_discriminator_of_began_is_an_encoder_and_a_decoder_like_the_generator(
    size: int, smallest: int, halvings: int
) -> None:
    n, latents = 64, 64
    decoder = (latents + 1) * n * smallest**2 + (halvings + 1) * 2 * (9 * n * n + n) + 9 * n * 3 + 3
    encoder = 9 * 3 * n + n + (((halvings + 1) * n) * smallest**2 + 1) * latents
    for level in range(1, halvings + 2):
        maps = level * n
        encoder += 2 * (9 * maps * maps + maps) + (9 * maps + 1) * (maps + n) * (level <= halvings)
    assert counts("began", (3, size, size)) == [decoder, encoder + decoder]


def test_conditional_perceptrons_have_one_more_weight_per_class_and_unit() -> None:
    shape, classes = (1, 28, 28), 10
    gan, cgan = (counts(name, shape, classes) for name in ("gan", "cgan"))
    assert cgan == [gan[0] + classes * 128, gan[1] + classes * 4 * 128] == [1_511_312, 538_625]
    vae, cvae = (counts(name, shape, classes) for name in ("vae", "cvae"))
    assert cvae == [vae[0] + classes * 400, vae[1] + classes * 400] == [334_040, 326_784]


@pytest.mark.parametrize("channels", [1, 3])
def test_infogan_28_and_conv_vae_have_the_same_networks(channels: int) -> None:
    shape = (channels, 28, 28)
    gan, vae = build("infogan-28", shape), build("conv-vae", shape)
    assert SPECS["infogan-28"].latent_dim == SPECS["conv-vae"].latent_dim == 64
    assert [tuple(p.shape) for p in gan["generator"].parameters()] == [
        tuple(p.shape) for p in vae["decoder"].parameters()
    ]
    shared, both = len(list(gan["discriminator"].parameters())) - 2, list(vae["encoder"].parameters())
    assert [tuple(p.shape) for p in gan["discriminator"].parameters()][:shared] == [
        tuple(p.shape) for p in both[:shared]
    ]
    assert count(vae["encoder"]) - count(gan["discriminator"]) == 2 * (1024 * 64 + 64) - (1024 + 1)


def test_dcgan_starts_from_the_papers_distribution_and_has_no_biases_in_its_convolutions() -> None:
    torch.manual_seed(0)
    networks = build("dcgan", (3, 64, 64))
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert module.bias is None
                assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
                assert abs(float(module.weight.detach().mean())) < 0.002
            elif isinstance(module, nn.BatchNorm2d):
                assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.01)
                assert not bool(module.bias.detach().any())


def test_the_dense_layer_of_dcgan_dense_equals_the_first_convolution_of_dcgan() -> None:
    dense, plain = build("dcgan-dense", (3, 32, 32)), build("dcgan", (3, 32, 32))
    latents = torch.randn(5, 100, generator=rng())
    first, reshape = dense["generator"][0], dense["generator"][1]
    with torch.no_grad():
        first.weight.copy_(plain["generator"][1].weight.flatten(1).T)
        assert torch.allclose(reshape(first(latents)), plain["generator"][:2](latents), atol=1e-5)


def test_the_projection_discriminator_is_linear_in_the_embedding_of_the_label() -> None:
    """D(x, y) - D(x, y') = ⟨V_y - V_y', φ(x)⟩ (Miyato & Koyama 2018, eq. 3)."""
    torch.manual_seed(0)
    discriminator = build("cdcgan", (3, 32, 32), width=8)["discriminator"].eval()
    pixels = images("cdcgan", 4, (3, 32, 32))
    with torch.no_grad():
        zero, one = (discriminator(pixels, torch.full((4,), y)) for y in (0, 1))
        features = discriminator.body(pixels).sum(dim=(2, 3))
        difference = features @ (discriminator.projection.weight[0] - discriminator.projection.weight[1])
    assert torch.allclose(zero - one, difference, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: nn.Linear(20, 7), lambda: nn.Conv2d(3, 8, 4), lambda: nn.Embedding(5, 9)])
def test_spectral_norm_makes_the_largest_singular_value_one(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)  # the two largest values of some weights are so close that the iteration takes longer
    layer = make()
    normalise_spectrally(layer)
    for _ in range(200):
        weight = layer.weight.detach()
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=1e-4)


def test_spectral_norm_follows_the_weights_in_training_only() -> None:
    torch.manual_seed(0)
    layer = normalise_spectrally(nn.Linear(6, 4))
    norm = layer.parametrizations.weight[0]
    before = norm.u.clone()
    layer.eval()
    _ = layer.weight
    assert torch.equal(norm.u, before)
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.randn(4, 6))
    layer.train()
    _ = layer.weight
    assert not torch.equal(norm.u, before)


def test_the_gradient_through_spectral_norm_is_that_of_dividing_by_the_true_singular_value() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    norm, probe = SpectralNorm(weight.detach()), torch.randn(5, 8, dtype=torch.float64)
    for _ in range(500):
        norm(weight.detach())
    (found,) = torch.autograd.grad((norm(weight) * probe).sum(), weight)
    (expected,) = torch.autograd.grad((weight / torch.linalg.matrix_norm(weight, 2) * probe).sum(), weight)
    assert torch.allclose(found, expected, atol=1e-8)


def test_spectral_norm_stays_in_full_precision_under_autocast() -> None:
    torch.manual_seed(0)
    layer = normalise_spectrally(nn.Linear(64, 32)).eval()
    expected = layer.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weight, expected)


@pytest.mark.parametrize(("name", "options"), [("sn-dcgan", {}), ("resnet-gan", {"norm": "spectral"})])
def test_every_layer_of_a_spectrally_normalised_discriminator_is_normalised(name: str, options: dict[str, str]) -> None:
    discriminator = build(name, (3, 32, 32), width=4, **options)["discriminator"]
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers
    assert all(parametrize.is_parametrized(layer, "weight") for layer in layers)
    assert not any(isinstance(m, nn.BatchNorm2d | nn.GroupNorm) for m in discriminator.modules())


@pytest.mark.parametrize(("name", "norm"), [("resnet-gan", "layer"), ("resnet-gan", "none"), ("infogan-28", "none")])
def test_without_batch_norm_an_images_logit_does_not_depend_on_its_batch(name: str, norm: str) -> None:
    torch.manual_seed(0)
    shape = SPECS[name].image_shapes[0]
    discriminator = build(name, shape, width=4, norm=norm)["discriminator"]
    pixels = images(name, 4, shape)
    alone = torch.cat([discriminator(pixels[i : i + 1]) for i in range(4)])
    assert torch.allclose(discriminator(pixels), alone, atol=1e-5)
    assert any(isinstance(m, nn.GroupNorm) for m in discriminator.modules()) == (norm == "layer")


def test_acgan_predicts_the_class_without_the_label() -> None:
    torch.manual_seed(0)
    discriminator = build("acgan", (1, 28, 28), width=4)["discriminator"].eval()
    pixels, chosen = images("acgan", 3, (1, 28, 28)), labels("acgan", 3)
    assert chosen is not None
    first, second = discriminator(pixels, chosen), discriminator(pixels, chosen.flip(0))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
