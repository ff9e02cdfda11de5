"""The built-in models: published parameter counts, shapes and ranges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from genbench.builtin.models import genbench_models
from genbench.specs import ModelSpec, Shape, resolve

SPECS = {spec.name: spec for spec in genbench_models()}


def build(spec: ModelSpec, shape: Shape, **options: Any) -> dict[str, nn.Module]:
    values = {option.name: option.default for option in spec.option_schema} | options
    return dict(
        resolve(spec.build)(
            image_shape=shape, latent_dim=spec.latent_dim, num_classes=0, options=spec.make_options(values)
        )
    )


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("dcgan", (3, 64, 64), (3_576_704, 2_765_568)),  # the widely used 64-pixel DCGAN
        ("dcgan", (3, 32, 32), (1_068_928, 663_296)),
        ("dcgan", (3, 128, 128), (12_786_560, 11_164_416)),
        ("dcgan", (3, 28, 28), (761_728, 140_672)),
        ("gan", (1, 28, 28), (1_510_032, 533_505)),
        ("vae", (1, 28, 28), (784 * 400 + 400 + 2 * (400 * 20 + 20), 20 * 400 + 400 + 400 * 784 + 784)),
        ("conv-vae", (1, 28, 28), (6_689_344, 6_642_241)),
    ],
)
def test_parameter_counts(name: str, shape: Shape, counts: tuple[int, int]) -> None:
    networks = build(SPECS[name], shape)
    assert tuple(count(network) for network in networks.values()) == counts


CASES = [
    (name, shape)
    for name, spec in SPECS.items()
    for shape in (spec.image_shapes or [(1, 28, 28), (3, 20, 12), (2, 7, 5)])
]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_networks_map_latents_to_images_and_back_for_every_declared_shape(name: str, shape: Shape) -> None:
    spec = SPECS[name]
    width = {"width": 8} | ({"hidden": 16} if name == "conv-vae" else {})
    networks = build(spec, shape, **({"hidden": 16} if name == "vae" else width))
    latents, images = torch.randn(4, spec.latent_dim), torch.rand(4, *shape)
    if spec.family == "adversarial":
        assert networks["generator"](latents).shape == images.shape
        assert networks["discriminator"](images).numel() == 4
    else:
        mean, log_variance = networks["encoder"](images)
        assert mean.shape == log_variance.shape == (4, spec.latent_dim)
        assert networks["decoder"](latents).shape == images.shape


@pytest.mark.parametrize("name", ["gan", "dcgan"])
def test_generators_stay_within_their_range_and_discriminators_give_logits_of_both_signs(name: str) -> None:
    torch.manual_seed(0)
    networks = build(SPECS[name], (1, 28, 28))
    images = networks["generator"](torch.randn(64, 100))
    assert float(images.detach().abs().max()) <= 1.0
    logits = networks["discriminator"](torch.rand(64, 1, 28, 28) * 2 - 1)
    assert bool((logits > 0).any())
    assert bool((logits < 0).any())  # a discriminator that ends in an activation would have one sign only


@pytest.mark.parametrize("name", list(SPECS))
def test_no_batch_norm_has_an_epsilon_that_was_meant_as_a_momentum(name: str) -> None:
    networks = build(SPECS[name], (1, 28, 28))
    norms = [m for net in networks.values() for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(norm.eps <= 1e-2 for norm in norms)


def test_dcgan_starts_from_the_papers_distribution_and_has_no_biases_in_its_convolutions() -> None:
    torch.manual_seed(0)
    networks = build(SPECS["dcgan"], (3, 64, 64))
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert module.bias is None
                assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
                assert abs(float(module.weight.detach().mean())) < 0.002
            elif isinstance(module, nn.BatchNorm2d):
                assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.01)
                assert not bool(module.bias.detach().any())


def test_every_model_names_its_paper() -> None:
    assert all("arXiv" in spec.paper for spec in SPECS.values())
