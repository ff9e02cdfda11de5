"""The eager engine: the same mathematics as a plain loop, with nothing done twice and nothing leaking."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode

from genbench.execute.building import Built, build_cell
from genbench.execute.loading import LoadedData
from genbench.plan.catalogue import Catalogue, discover
from genbench.plan.matrix import make_plan
from genbench.plan.request import make_request

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def some_data(count: int = 40, size: int = 28) -> LoadedData:
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=rng)
    return LoadedData(pixels, None, pixels[:4], None, 0, "", ())


SMALL = {
    "gan": {"width": 8},
    "dcgan": {"width": 8},
    "vae": {"hidden": 16},
    "conv-vae": {"width": 8, "hidden": 16},
}


def built(catalogue: Catalogue, model: str, **recipe: Any) -> Built:
    request = make_request({"models": model, "batch_size": 8, "set": {model: SMALL[model]}, **recipe})
    (cell,) = make_plan(request, catalogue, "cpu").cells
    return build_cell(cell.identity, catalogue, some_data(), CPU)


@pytest.mark.parametrize("model", list(SMALL))
def test_a_seed_fixes_every_bit(catalogue: Catalogue, model: str) -> None:
    losses = []
    for _ in range(2):
        engine = built(catalogue, model).engine
        for _ in range(3):
            engine.step()
        losses.append(engine.read_terms())
    assert losses[0].keys() == losses[1].keys()
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])


def test_a_gan_step_is_the_textbook_step(catalogue: Catalogue) -> None:
    """Algorithm 1 of Goodfellow et al. written out: D on real and detached fakes, then G through a fixed D."""
    cell = built(catalogue, "dcgan")
    engine = cell.engine
    generator = copy.deepcopy(cell.setup.networks["generator"])
    discriminator = copy.deepcopy(cell.setup.networks["discriminator"])
    rng = torch.Generator()
    rng.set_state(engine.rng.get_state())
    order_rng = torch.Generator()
    order_rng.set_state(engine.data.rng.get_state())
    order = torch.randperm(40, generator=order_rng)
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **adam)  # type: ignore[arg-type]
    g_optimizer = torch.optim.Adam(generator.parameters(), **adam)  # type: ignore[arg-type]
    expected: list[tuple[float, float]] = []
    for step in range(3):
        real = some_data().train_pixels[order[8 * step : 8 * step + 8]].float() / 127.5 - 1
        fake = generator(torch.randn(8, 100, generator=rng))
        d_loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        g_loss = softplus(-discriminator(fake)).mean()
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        expected.append((d_loss.item(), g_loss.item()))
        engine.step()
    found = engine.read_terms()
    pairs = list(zip(found["discriminator"].tolist(), found["generator"].tolist(), strict=True))
    assert pairs == [pytest.approx(pair, rel=1e-4) for pair in expected]
    ours = dict(cell.setup.networks["generator"].named_parameters())
    for name, parameter in generator.named_parameters():
        torch.testing.assert_close(ours[name], parameter, rtol=1e-3, atol=1e-5)


def test_a_vae_step_is_the_textbook_step(catalogue: Catalogue) -> None:
    cell = built(catalogue, "vae")
    encoder, decoder = (copy.deepcopy(cell.setup.networks[name]) for name in ("encoder", "decoder"))
    rng, order_rng = torch.Generator(), torch.Generator()
    rng.set_state(cell.engine.rng.get_state())
    order_rng.set_state(cell.engine.data.rng.get_state())
    images = some_data().train_pixels[torch.randperm(40, generator=order_rng)[:8]].float() / 255
    mean, log_variance = encoder(images)
    latents = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
    probabilities = decoder(latents).sigmoid()
    reconstruction = nn.functional.binary_cross_entropy(probabilities, images, reduction="sum") / 8
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum() / 8
    cell.engine.step()
    found = {name: series.item() for name, series in cell.engine.read_terms().items()}
    assert found["autoencoder.reconstruction"] == pytest.approx(reconstruction.item(), rel=1e-5)
    assert found["autoencoder.kl"] == pytest.approx(kl.item(), rel=1e-4)
    assert found["autoencoder"] == pytest.approx((reconstruction + kl).item(), rel=1e-5)


class Calls(TorchDispatchMode):
    """Counts operator calls."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    with Calls() as calls:
        yield calls.counts


@pytest.mark.parametrize("model", list(SMALL))
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_reads_a_tensor_on_the_host(catalogue: Catalogue, model: str, precision: str) -> None:
    engine = built(catalogue, model, precision=precision, ema_half_life=100.0).engine
    engine.step()
    with counting() as counts:
        engine.step()
    assert "aten::_local_scalar_dense" not in counts  # what .item(), float() and bool() of a tensor come down to


def test_fakes_are_reused_and_the_frozen_player_costs_no_weight_gradients(catalogue: Catalogue) -> None:
    """dcgan at 28 pixels: G has 3 transposed convolutions, D 3 convolutions."""
    engine = built(catalogue, "dcgan").engine
    with counting() as counts:
        engine.step()
    # forward: G 3 once; D 3 on real, 3 on detached fakes, 3 on live fakes
    assert counts["aten::convolution"] == 3 + 9
    # backward: D phase 6; G phase 3 through D and 3 through G
    assert counts["aten::convolution_backward"] == 12
    discriminator = engine.networks["discriminator"]
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_the_generators_phase_leaves_the_discriminators_gradients_alone(catalogue: Catalogue) -> None:
    engine = built(catalogue, "gan").engine
    discriminator_phase, generator_phase = (player.phase for player in engine.players)
    seen: list[list[Tensor]] = []
    original = engine.players[1].optimizer
    assert original is not None

    def after_generator_backward(*_: object) -> None:
        seen.append([p.grad.clone() for p in engine.networks["discriminator"].parameters() if p.grad is not None])

    after_discriminator: list[list[Tensor]] = []
    first = engine.players[0].optimizer
    assert first is not None
    first.register_step_post_hook(
        lambda *_: after_discriminator.append(
            [p.grad.clone() for p in engine.networks["discriminator"].parameters() if p.grad is not None]
        )
    )
    original.register_step_post_hook(after_generator_backward)
    engine.step()
    assert discriminator_phase.name == "discriminator"
    assert generator_phase.frozen == ("discriminator",)
    assert all(torch.equal(a, b) for a, b in zip(after_discriminator[0], seen[0], strict=True))


def test_the_discriminators_phase_gives_the_generator_no_gradient(catalogue: Catalogue) -> None:
    engine = built(catalogue, "gan").engine
    optimizer = engine.players[0].optimizer
    assert optimizer is not None
    gradients: list[object] = []
    optimizer.register_step_post_hook(
        lambda *_: gradients.extend(p.grad for p in engine.networks["generator"].parameters())
    )
    engine.step()
    assert gradients
    assert all(gradient is None for gradient in gradients)


def test_discriminator_steps_take_fresh_images_and_are_counted(catalogue: Catalogue) -> None:
    engine = built(catalogue, "gan", discriminator_steps=3).engine
    assert engine.images_per_step == 24
    engine.step()
    assert engine.images_seen == 24
    assert [player.updates for player in engine.players] == [3, 1]
    assert engine.read_terms()["discriminator"].shape == (3,)


def test_bf16_follows_fp32_closely_and_keeps_fp32_weights(catalogue: Catalogue) -> None:
    terms = {}
    for precision in ("fp32", "bf16"):
        cell = built(catalogue, "vae", precision=precision)
        for _ in range(5):
            cell.engine.step()
        assert all(p.dtype == torch.float32 for p in cell.setup.networks["encoder"].parameters())
        terms[precision] = cell.engine.read_terms()["autoencoder"]
    torch.testing.assert_close(terms["bf16"], terms["fp32"], rtol=0.02, atol=0.0)
    assert not torch.equal(terms["bf16"], terms["fp32"])  # it really ran in another precision


def test_averaged_weights_follow_the_half_life(catalogue: Catalogue) -> None:
    cell = built(catalogue, "vae", ema_half_life=8.0, ema_ramp=0.0)  # one batch: a decay of a half per step
    parameter = next(iter(cell.setup.networks["decoder"].parameters()))
    expected = parameter.detach().clone()
    for _ in range(3):
        cell.engine.step()
        expected = 0.5 * expected + 0.5 * parameter.detach()
    average = cell.engine.average
    assert average is not None
    averaged = next(iter(average.networks["decoder"].parameters()))
    torch.testing.assert_close(averaged, nn.Parameter(expected, requires_grad=False))


def test_the_half_life_is_ramped_up(catalogue: Catalogue) -> None:
    average = built(catalogue, "vae", ema_half_life=1000.0, ema_ramp=0.05).engine.average
    assert average is not None
    assert average.decay(images_seen=2_000, images_per_step=100) == pytest.approx(0.5)
    assert average.decay(images_seen=10**6, images_per_step=1000) == pytest.approx(0.5)
