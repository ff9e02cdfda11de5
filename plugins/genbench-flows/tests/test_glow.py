"""Glow: an exact inverse, the determinant of the Jacobian, the first batch, labels, and the authors' network."""

from __future__ import annotations

from typing import Any

import genbench_flows
import pytest
import torch
from genbench_flows import FlowOptions, GlowOptions
from genbench_flows.family import Flow, FlowNLL
from genbench_flows.glow import ActNorm, InvertibleConv, Prior, Step, ZeroConv, build, build_conditional
from torch import Tensor, nn

import genbench

_, _, CONDITIONAL = genbench_flows.genbench_models()
CPU = torch.device("cpu")
SHAPES = [(1, 2, 2), (1, 4, 4), (3, 8, 4), (2, 6, 2)]  # one, two and three levels; not square
LABELS = torch.tensor([0, 2, 1])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(shape: genbench.Shape, classes: int = 0, options: GlowOptions | None = None) -> Any:
    """Return a network whose convolutions are no longer zero, after its first batch."""
    torch.manual_seed(0)
    make = build_conditional if classes else build
    flow = make(shape, 1, classes, options or GlowOptions(8, 2, 3))["flow"]
    with torch.no_grad():
        for layer in flow.modules():
            if isinstance(layer, ZeroConv):
                nn.init.normal_(layer.weight, std=0.05)
                nn.init.normal_(layer.log_scale, std=0.1)
        flow.train()(3 * torch.randn(32, *shape) + 1, torch.zeros(32, dtype=torch.int64) if classes else None)
    return flow.eval()


def given(classes: int) -> tuple[Tensor, ...]:
    return (LABELS,) if classes else ()


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 28, 28), (3, 32, 32)])
def test_the_network_is_invertible(shape: genbench.Shape, classes: int) -> None:
    flow, images = network(shape, classes), torch.randn(3, *shape, generator=generator())
    with torch.no_grad():
        noise, _ = flow(images, *given(classes))
        assert noise.shape == images.shape
        assert (noise - images).abs().max() > 0.1
        torch.testing.assert_close(flow.inverse(noise, *given(classes)), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_determinant_is_that_of_the_jacobian(shape: genbench.Shape, classes: int) -> None:
    flow = network(shape, classes)
    for module in flow.modules():
        if isinstance(module, ZeroConv):
            module.register_forward_hook(lambda _module, _inputs, output: output.double())
    flow = flow.double()
    images = torch.randn(3, *shape, generator=generator(), dtype=torch.float64)
    for number, image in enumerate(images):
        label = tuple(labels[number : number + 1] for labels in given(classes))
        jacobian = torch.autograd.functional.jacobian(lambda x, label=label: flow(x[None], *label)[0].flatten(), image)
        expected = torch.linalg.slogdet(jacobian.reshape(image.numel(), image.numel())).logabsdet
        _, log_det = flow(image[None], *label)
        torch.testing.assert_close(log_det[0], expected, atol=1e-5, rtol=1e-5)


def test_the_first_training_batch_is_normalised_and_later_ones_are_not() -> None:
    norm = ActNorm(3)
    first = torch.randn(64, 3, 4, 4, generator=generator()) * torch.tensor([0.1, 1, 20]).view(3, 1, 1) + 5
    torch.testing.assert_close(norm.eval()(first)[0], first)  # before training it is the identity
    normalised, log_det = norm.train()(first)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3), correction=0), torch.ones(3))
    torch.testing.assert_close(log_det, -first.std((0, 2, 3), correction=0).log().sum())
    again, _ = norm(2 * first)
    assert float(again.detach().std()) > 1.5
    torch.testing.assert_close(norm.eval()(2 * first)[0], again)


def test_a_constant_channel_stays_finite() -> None:
    normalised, log_det = ActNorm(2)(torch.ones(4, 2, 3, 3))
    assert normalised.isfinite().all()
    assert log_det.isfinite()


def test_the_convolution_starts_as_a_rotation_and_its_determinant_is_the_product_of_s() -> None:
    torch.manual_seed(1)
    mix = InvertibleConv(6).double()
    points = torch.randn(5, 6, 1, 1, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(mix(points)[0].norm(dim=1), points.norm(dim=1), atol=1e-5, rtol=1e-5)
    assert float(mix(points)[1].detach()) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        mix.factors.add_(0.3 * torch.randn(6, 6, generator=generator(1), dtype=torch.float64))
    matrix = mix(torch.eye(6, dtype=torch.float64)[:, :, None, None])[0][:, :, 0, 0]
    torch.testing.assert_close(torch.linalg.slogdet(matrix).logabsdet, mix(points)[1])
    torch.testing.assert_close(mix.inverse(mix(points)[0]), points)


def test_a_step_starts_as_a_rotation() -> None:
    """The last convolution of its coupling is zero."""
    torch.manual_seed(0)
    step, images = Step(4, 8).eval(), torch.randn(2, 4, 3, 3, generator=generator())
    changed, log_det = step(images)
    torch.testing.assert_close(log_det, torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(changed.norm(dim=1), images.norm(dim=1), atol=1e-5, rtol=1e-5)


def test_images_of_noise_far_from_the_data_stay_finite() -> None:
    flow = network((1, 8, 8))
    with torch.no_grad():
        for layer in flow.modules():
            if isinstance(layer, ZeroConv):
                layer.weight.mul_(10)
        assert flow.inverse(5 * torch.randn(16, 1, 8, 8, generator=generator())).isfinite().all()


def test_the_prior_of_a_half_depends_on_the_other_half_and_the_label() -> None:
    torch.manual_seed(0)
    prior, images = Prior(2, 2, 3), torch.zeros(3, 2, 2, 2)
    assert not torch.allclose(*(prior(images, images, labels)[0] for labels in (LABELS, LABELS.roll(1))))
    assert prior.of_images is not None
    nn.init.ones_(prior.of_images.weight)
    assert not torch.allclose(*(prior(images, images + shift, LABELS)[0] for shift in (0, 1)))


@pytest.mark.parametrize("shape", [(3, 32, 32)])
def test_the_authors_network_for_cifar10_has_44_million_parameters(shape: genbench.Shape) -> None:
    """L = 3, K = 32, width 512 (Kingma & Dhariwal 2018, table 3), counted by layers.

    A step with c channels: normalisation 2c; matrix c²; coupling 9·(c/2)·512 + 2·512, 512² + 2·512, and 9·512·c + 2c.
    c is 12, 24 and 48. A prior of a half with c/2 channels: 9·(c/2)·c + 2c; the last one 2·48.
    """

    def step(c: int) -> int:
        return 2 * c + c * c + (9 * (c // 2) * 512 + 2 * 512) + (512 * 512 + 2 * 512) + (9 * 512 * c + 2 * c)

    def prior(c: int) -> int:
        return 9 * (c // 2) * c + 2 * c

    expected = sum(32 * step(c) for c in (12, 24, 48)) + prior(12) + prior(24) + 2 * 48
    with torch.device("meta"):
        flow = meta_network(shape)
    assert sum(p.numel() for p in flow.parameters()) == expected
    assert round(expected / 1e6) == 44


def meta_network(shape: genbench.Shape) -> nn.Module:
    """Return the authors' network without values; the decomposition of a rotation needs some, so it is replaced."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.linalg, "qr", lambda matrix: (matrix, matrix))
        patched.setattr(torch.linalg, "lu", lambda matrix: (matrix, matrix, matrix))
        return build(shape, 1, 0, GlowOptions(512, 32, 3))["flow"]


def test_samples_of_a_conditional_model_follow_from_their_latents_and_labels() -> None:
    flow = network((1, 4, 4), classes=3)
    loss = FlowNLL(FlowOptions())
    player = Flow(genbench.Setup({"flow": flow}, loss, CONDITIONAL, 16, 3, {}, CPU, image_shape=(1, 4, 4)))
    with torch.inference_mode():
        images = player.sample(3, generator(3), LABELS)
        assert torch.equal(images, player.generate(player.latents(3, generator(3)), LABELS))
        assert not torch.equal(images, player.sample(3, generator(3), LABELS.roll(1)))
        one, other = (player.log_likelihood(images, generator(1), labels) for labels in (LABELS, LABELS.roll(1)))
    assert not torch.allclose(one, other)


def test_a_conditional_model_needs_classes() -> None:
    with pytest.raises(genbench.GenbenchError, match="'cglow' is conditional"):
        build_conditional((1, 4, 4), 16, 0, GlowOptions())
