"""Attention, spectral norm and conditional batch norm in closed form; parameter counts from the layer tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import genbench_attention_gan
import pytest
import torch
from genbench_attention_gan import BigGANOptions, biggan, blocks, sagan
from genbench_attention_gan.attention import SelfAttention
from genbench_attention_gan.blocks import BatchNorm
from genbench_attention_gan.spectral_norm import SpectralNorm, normalise
from torch import Tensor, nn
from torch.nn.utils import parametrize

import genbench
from genbench.api.specs import ModelSpec, resolve
from genbench.sampling.latent_space import truncate

SPECS: dict[str, ModelSpec] = {spec.name: spec for spec in genbench_attention_gan.genbench_models()}
ATTENTION = [name for name in SPECS if name != "projected-gan"]  # whose discriminators have spectral norm, too
CLASSES = 3


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def networks(name: str, size: int = 28, channels: int = 1, **options: Any) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    spec = SPECS[name]
    made = spec.make_options({"width": 8, **options})
    built: dict[str, nn.Module] = resolve(spec.build)((channels, size, size), spec.latent_dim, CLASSES, made)
    return built


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# ----------------------------------------------------------------------------------------------------------------------
# Self-attention


def test_attention_is_the_identity_at_first() -> None:
    torch.manual_seed(0)
    layer, maps = SelfAttention(16), torch.randn(2, 16, 6, 6, generator=rng())
    assert torch.equal(layer(maps), maps)


def test_attention_is_the_softmax_of_its_equations() -> None:
    """Equations 1 to 3 place by place, with keys and values after a max pooling over 2 × 2."""
    torch.manual_seed(0)
    layer, maps = SelfAttention(8), torch.randn(1, 8, 4, 4, generator=rng())
    layer.gamma.data.fill_(0.7)
    f, g, h, v = (conv.weight.detach()[:, :, 0, 0] for conv in (layer.key, layer.query, layer.value, layer.output))
    places = maps[0].flatten(1)  # (C, N)
    pooled = lambda w: nn.functional.max_pool2d((w @ places).view(1, -1, 4, 4), 2)[0].flatten(1)  # noqa: E731
    keys, values = pooled(f), pooled(h)
    expected = torch.empty_like(places)
    for j in range(16):
        scores = torch.tensor([float(keys[:, i] @ (g @ places[:, j])) for i in range(4)])
        beta = scores.exp() / scores.exp().sum()
        expected[:, j] = places[:, j] + 0.7 * v @ (values @ beta)
    assert torch.allclose(layer(maps).detach()[0].flatten(1), expected, atol=1e-5)


def test_attention_passes_information_between_any_two_places() -> None:
    """A pixel changes the opposite corner, as no convolution of 3 × 3 does."""
    torch.manual_seed(0)
    layer = SelfAttention(8)
    layer.gamma.data.fill_(1.0)
    maps = torch.randn(1, 8, 8, 8, generator=rng()).requires_grad_()
    (gradient,) = torch.autograd.grad(layer(maps)[0, :, 7, 7].sum(), maps)
    pooled = nn.functional.max_pool2d(gradient.abs().sum(1), 2)  # of each 2 × 2 places, the largest are passed on
    assert bool((pooled > 0).all())


@pytest.mark.parametrize(
    ("name", "attention", "side"),
    [("sagan", "quarter", 7), ("sagan", "half", 14), ("biggan", "half", 14), ("biggan", "none", None)],
)
def test_attention_acts_on_the_declared_maps_of_both_networks(name: str, attention: str, side: int | None) -> None:
    made, seen = networks(name, attention=attention), []
    for network in made.values():
        for layer in network.modules():
            if isinstance(layer, SelfAttention):
                layer.register_forward_hook(lambda layer, given, found: seen.append(given[0].shape[-1]))
    labels = torch.zeros(2, dtype=torch.int64)
    made["discriminator"](made["generator"](torch.randn(2, SPECS[name].latent_dim or 0), labels), labels)
    assert seen == ([] if side is None else [side, side])


# ----------------------------------------------------------------------------------------------------------------------
# Spectral norm


def weights(network: nn.Module, *kinds: type[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for name, layer in network.named_modules():
        if isinstance(layer, kinds):
            yield name, layer.weight.detach().flatten(1)  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("name", ATTENTION)
def test_every_layer_of_both_networks_has_spectral_norm_one(name: str) -> None:
    made = networks(name)
    for network, kinds in (
        ("generator", (nn.Conv2d, nn.Linear)),
        ("discriminator", (nn.Conv2d, nn.Linear, nn.Embedding)),
    ):
        found = dict(weights(made[network], *kinds))
        assert len(found) > 8
        for layer, weight in found.items():
            assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.05), layer


def test_the_power_method_converges_and_only_training_moves_it() -> None:
    weight = torch.randn(6, 4, 3, 3, generator=rng())
    norm = SpectralNorm(weight)
    for _ in range(200):
        found = norm(weight)
    sigma = float(torch.linalg.matrix_norm(weight.flatten(1), 2))
    assert torch.allclose(found, weight / sigma, atol=1e-5)
    other, before = torch.randn(6, 4, 3, 3, generator=rng(1)), norm.u.clone()
    norm.eval()(other)
    assert torch.equal(norm.u, before)
    norm.train()(other)
    assert not torch.equal(norm.u, before)


def test_the_singular_value_is_computed_in_fp32_under_autocast() -> None:
    layer = normalise(nn.Linear(64, 64), nn.Linear)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(layer.weight, layer.eval().weight, atol=1e-3)
        assert layer.weight.dtype == torch.float32


def test_weights_before_the_division_are_what_is_trained() -> None:
    generator = networks("biggan")["generator"]
    trained = dict(generator.named_parameters())
    for name, layer in generator.named_modules():
        if parametrize.is_parametrized(layer):
            assert f"{name}.parametrizations.weight.original" in trained


# ----------------------------------------------------------------------------------------------------------------------
# Class-conditional batch norm


def test_conditional_batch_norm_scales_and_shifts_the_normalised_maps_of_each_image() -> None:
    maps, labels = torch.randn(5, 2, 3, 3, generator=rng()) * 4 + 1, torch.tensor([0, 2, 1, 2, 0])
    gains, shifts = torch.randn(3, 2, generator=rng(1)), torch.randn(3, 2, generator=rng(2))
    norm = BatchNorm(2, nn.Embedding.from_pretrained(gains), nn.Embedding.from_pretrained(shifts))
    found = norm(maps, labels)
    for channel in range(2):
        values = maps[:, channel]
        standard = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt()
        for image, label in enumerate(labels.tolist()):
            expected = gains[label, channel] * standard[image] + shifts[label, channel]
            assert torch.allclose(found[image, channel], expected, atol=1e-5)


def test_sagan_starts_with_plain_batch_norm_for_every_class() -> None:
    generator, latents = networks("sagan")["generator"].eval(), torch.randn(1, 128, generator=rng())
    images = [generator(latents, torch.tensor([label])) for label in range(CLASSES)]
    assert all(torch.equal(image, images[0]) for image in images)
    norms = [layer for layer in generator.modules() if isinstance(layer, BatchNorm)]
    assert {float(norm.gain.weight.detach().unique()) for norm in norms if isinstance(norm.gain, nn.Embedding)} == {1.0}


def test_biggans_norms_are_affine_in_the_shared_embedding_and_the_latents_of_their_stage() -> None:
    """γ = 1 + A (e(y), z_i), β = B (e(y), z_i): with e and z_i of 0 it is batch norm without gain or shift."""
    generator = networks("biggan", embedding=4)["generator"]
    norm = next(layer for layer in generator.modules() if isinstance(layer, BatchNorm))
    channels = norm.norm.num_features
    maps = torch.randn(3, channels, 4, 4, generator=rng())
    condition = torch.randn(3, 4 + 40, generator=rng(1))  # 120 latents among 3 stages
    plain = nn.functional.batch_norm(maps, None, None, training=True)
    assert torch.allclose(norm(maps, torch.zeros_like(condition)), plain, atol=1e-6)
    assert isinstance(norm.gain, nn.Linear)
    assert isinstance(norm.shift, nn.Linear)
    gain, shift = 1 + condition @ norm.eval().gain.weight.T, condition @ norm.shift.weight.T
    expected = plain * gain[:, :, None, None] + shift[:, :, None, None]
    assert torch.allclose(norm.train()(maps, condition), expected, atol=1e-3)


def test_each_share_of_the_latents_acts_on_its_stage() -> None:
    """The last share changes the last block only: its input maps are the same."""
    generator = networks("biggan-unconditional")["generator"].eval()
    inputs: list[Tensor] = []
    last = generator.body.blocks[-1]  # type: ignore[union-attr, index]
    last.register_forward_hook(lambda layer, given, found: inputs.append(given[0]))  # type: ignore[union-attr]
    latents = torch.randn(2, 120, generator=rng())
    changed = latents.clone()
    changed[:, 80:] += 1
    assert not torch.equal(generator(latents), generator(changed))
    assert torch.equal(*inputs)


def test_latents_that_cannot_be_divided_are_an_error_with_a_remedy() -> None:
    with pytest.raises(genbench.GenbenchError, match=r"121 cannot be .*\nSet .* a multiple of 3, such as 123"):
        biggan.build((1, 28, 28), 121, CLASSES, BigGANOptions())


@pytest.mark.parametrize("name", ["sagan", "biggan"])
def test_without_classes_the_error_names_the_model_without_labels(name: str) -> None:
    with pytest.raises(genbench.GenbenchError, match=f"'{name}-unconditional'"):
        resolve(SPECS[name].build)((1, 28, 28), 120, 0, SPECS[name].make_options({}))


def test_the_projection_adds_the_inner_product_of_class_and_features() -> None:
    """D(x, y) - D(x, y') = (V_y - V_y')·φ(x) (Miyato & Koyama 2018, equation 3)."""
    network = networks("sagan")["discriminator"].eval()
    images = torch.randn(4, 1, 28, 28, generator=rng())
    one, other = (network(images, torch.full((4,), label)) for label in (0, 2))
    features = network.blocks(images).sum((2, 3))  # type: ignore[operator]
    projected = features @ (network.projection.weight[0] - network.projection.weight[2])  # type: ignore[union-attr, index]
    assert torch.allclose(one - other, projected, atol=1e-4)


# ----------------------------------------------------------------------------------------------------------------------
# Truncation


def test_truncation_reduces_the_variance_of_the_latents_as_a_truncated_normal_has_it() -> None:
    """Var = 1 - 2ψ φ(ψ) / (2Φ(ψ) - 1); images of truncated latents are closer together."""
    latents = torch.randn(400, 120, generator=rng())
    normal = torch.distributions.Normal(0.0, 1.0)
    for psi in (0.5, 1.0, 2.0):
        bound = torch.tensor(psi)
        expected = 1 - 2 * psi * normal.log_prob(bound).exp() / (2 * normal.cdf(bound) - 1)
        cut = truncate(latents, "normal", psi)
        assert float(cut.var()) == pytest.approx(float(expected), rel=0.02)
        assert float(cut.abs().max()) <= psi
    generator = networks("biggan-unconditional")["generator"].eval()
    with torch.no_grad():
        spread = [float(generator(truncate(latents, "normal", psi)[:32]).std(0).mean()) for psi in (0.1, 4.0)]
    assert 3 * spread[0] < spread[1]


# ----------------------------------------------------------------------------------------------------------------------
# Parameter counts, from the layer tables of the papers at 128 pixels with 1,000 classes


def built_without_memory(name: str, shape: genbench.Shape, classes: int, **options: Any) -> tuple[int, int]:
    """Return the numbers of parameters of generator and discriminator; a meta tensor has no singular value."""
    spec = SPECS[name]
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        for module in (sagan, biggan, blocks):
            patch.setattr(module, "normalise", lambda network, *layers: network)
        made = resolve(spec.build)(shape, spec.latent_dim, classes, spec.make_options(options))
    return count(made["generator"]), count(made["discriminator"])


def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
    return kernel**2 * inputs * outputs + outputs


def attention(channels: int) -> int:
    return 2 * channels * (channels // 8) + 2 * channels * (channels // 2) + 1


def up(inputs: int, outputs: int) -> int:
    return conv(inputs, outputs) + conv(outputs, outputs) + conv(inputs, outputs, 1)


def discriminator_count(width: int, attended: int, classes: int = 1000) -> int:
    """Blocks 3 -> 1 2 4 8 16 16 times the width, of which the last is flat and has no shortcut; ψ and V."""
    channels = [3, *(factor * width for factor in (1, 2, 4, 8, 16, 16))]
    total = sum(conv(a, b) + conv(b, b) + (conv(a, b, 1) if a != b else 0) for a, b in pairwise(channels))
    return total + attention(attended) + channels[-1] + 1 + classes * channels[-1]


def test_sagan_has_the_published_number_of_parameters() -> None:
    """Brock et al. 2019, table 1: 81.5 million for SAGAN with 64 channels, 173.5 million with 96."""
    for width, millions in ((64, 81.5), (96, 173.7)):
        found = built_without_memory("sagan", (3, 128, 128), 1000, width=width)
        channels = [factor * width for factor in (16, 16, 8, 4, 2, 1)]
        generator = 128 * 16 * channels[0] + 16 * channels[0]  # dense
        generator += sum(up(a, b) + 2 * 1000 * (a + b) for a, b in pairwise(channels))  # gains and shifts per class
        generator += attention(4 * width) + 2 * width + conv(width, 3)
        assert found == (generator, discriminator_count(width, 2 * width))
        assert sum(found) / 1e6 == pytest.approx(millions, abs=0.05)


def test_biggan_has_the_published_number_of_parameters() -> None:
    """Brock et al. 2019, table 1: 158.3 million with 96 channels, shared embeddings and hierarchical latents."""
    found = built_without_memory("biggan", (3, 128, 128), 1000, width=96)
    channels = [factor * 96 for factor in (16, 16, 8, 4, 2, 1)]
    generator = 1000 * 128 + 20 * 16 * channels[0] + 16 * channels[0]  # embedding, dense
    generator += sum(up(a, b) + 2 * (20 + 128) * (a + b) for a, b in pairwise(channels))  # A and B
    generator += attention(2 * 96) + 2 * 96 + conv(96, 3)
    assert found == (generator, discriminator_count(96, 96)) == (70_433_988, 87_982_370)
    assert sum(found) / 1e6 == pytest.approx(158.3, abs=0.15)


@pytest.mark.parametrize(("name", "counts"), [("sagan", (449_986, 37_074)), ("biggan", (216_962, 36_114))])
def test_parameter_counts_at_the_default_width(name: str, counts: tuple[int, int]) -> None:
    assert built_without_memory(name, (1, 28, 28), 10) == counts


@pytest.mark.parametrize("name", SPECS)
def test_all_sizes_and_channels_are_as_declared(name: str) -> None:
    spec = SPECS[name]
    labels = torch.tensor([0, 2])
    for channels, size, _ in spec.image_shapes or ():  # type: ignore[misc, union-attr]
        made = networks(name, size, channels)
        arguments = (labels,) if spec.conditional else ()
        with torch.no_grad():
            images = made["generator"](torch.randn(2, spec.latent_dim or 0), *arguments)
            assert images.shape == (2, channels, size, size)
            assert float(images.abs().max()) <= 1
            found = made["discriminator"](images, *arguments)
            assert {len(logits) for logits in (found if isinstance(found, list) else [found])} == {2}
            assert isinstance(found, list) or found.shape == (2,)
