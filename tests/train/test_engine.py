"""The eager engine: the same mathematics as a plain loop, without repeated work or leaking gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode

from genbench.api.training import Batch, Objective, Phase
from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.train.builder import Built, build_cell
from genbench.train.checkpoint import load_checkpoint, save_checkpoint
from genbench.train.engine import Engine, UpdateRules
from genbench.train.player import Player

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
    "dcgan-vae": {"width": 8},
    "vq-vae": {"codes": 8, "width": 8, "residual_width": 4, "prior_width": 4, "prior_layers": 2},
}


def built(catalogue: Catalogue, model: str, **recipe: Any) -> Built:
    options = {model: SMALL[model], **recipe.pop("options", {})}
    request = make_request({"models": model, "batch_size": 8, "set": options, **recipe})
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
    assert "aten::_local_scalar_dense" not in counts  # called by .item(), float() and bool() of a tensor


def test_fakes_are_reused_and_the_frozen_player_costs_no_weight_gradients(catalogue: Catalogue) -> None:
    """dcgan at 28 pixels: G has 2 transposed convolutions, D 2 convolutions, and each also a matrix product."""
    engine = built(catalogue, "dcgan").engine
    with counting() as counts:
        engine.step()
    # forward: G 2 once; D 2 on real, 2 on detached fakes, 2 on live fakes
    assert counts["aten::convolution"] == 2 + 6
    # backward: D phase 4; G phase 2 through D and 2 through G
    assert counts["aten::convolution_backward"] == 8
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
    assert not torch.equal(terms["bf16"], terms["fp32"])  # it was really computed in another precision


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


# ----------------------------------------------------------------------------------------------------------------------
# Settings of a phase


class Fixed:
    """A source of one fixed batch."""

    batch_size = 2

    def next_batch(self) -> tuple[Tensor, None]:
        return torch.ones(2, 1, 1, 1), None

    def state(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        return {}, {}

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, int]) -> None:
        pass

    def close(self) -> None:
        pass


def engine_of(phases: list[Phase], network: nn.Module, rules: UpdateRules | None = None, lr: float = 1.0) -> Engine:
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    return Engine(
        {"player": network},
        phases,
        Fixed(),
        torch.Generator(),
        {phase.name: optimizer for phase in phases},
        budget=8,
        rules=rules,
    )


def linear(value: float = 0.0) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_a_lazy_phase_shares_the_optimiser_and_runs_in_every_kth_step_from_the_first() -> None:
    network = linear()
    main = Phase("main", ("player",), lambda batch: Objective(-network.weight.sum(), {}))  # +1 per step
    lazy = Phase("lazy", ("player",), lambda b: Objective(-100 * network.weight.sum(), {}), every=3, optimizer="main")
    engine = engine_of([main, lazy], network)
    seen = []
    for _ in range(4):
        engine.step()
        seen.append(network.weight.item())
    assert seen == [101, 102, 103, 204]


def test_progress_is_the_share_of_the_budget_consumed_before_the_step() -> None:
    network, seen = linear(), []

    def objective(batch: Batch) -> Objective:
        assert batch.progress is not None
        seen.append(batch.progress.item())
        return Objective(network.weight.sum(), {})

    engine = engine_of([Phase("main", ("player",), objective)], network)
    for _ in range(4):
        engine.step()
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_after_update_follows_each_optimiser_step() -> None:
    network = linear()

    def clip() -> None:
        with torch.no_grad():
            network.weight.clamp_(max=0.5)

    phase = Phase("main", ("player",), lambda b: Objective(-network.weight.sum(), {}), after_update=clip)
    engine = engine_of([phase], network)
    engine.step()
    assert network.weight.item() == 0.5


def test_a_gradient_is_clipped_to_the_norm_and_never_enlarged() -> None:
    for slope, expected in ((8.0, -2.0), (0.5, -0.5)):
        network = linear()
        phase = Phase("main", ("player",), lambda b, slope=slope, n=network: Objective(slope * n.weight.sum(), {}))
        engine_of([phase], network, UpdateRules(clip_gradient=2.0)).step()
        assert network.weight.item() == pytest.approx(expected, rel=1e-5)


def test_added_gradients_join_the_losss_own_before_clipping() -> None:
    network = linear()

    def add(phase: Phase) -> None:
        assert network.weight.grad is not None
        network.weight.grad += 3.0

    phase = Phase("main", ("player",), lambda b: Objective(network.weight.sum(), {}))
    engine_of([phase], network, UpdateRules(add_gradients=add)).step()
    assert network.weight.item() == -4.0


def test_the_schedule_receives_the_images_consumed_so_far() -> None:
    network, told = linear(), []
    phase = Phase("main", ("player",), lambda b: Objective(network.weight.sum(), {}))
    engine = engine_of([phase], network, UpdateRules(schedule=told.append))
    for _ in range(3):
        engine.step()
    assert told == [0, 2, 4]


def test_gradient_norms_are_those_of_the_last_step() -> None:
    network = nn.Linear(2, 2, bias=False)
    phase = Phase(
        "main", ("player",), lambda b: Objective((network.weight * torch.tensor([[3.0, 0], [0, 4]])).sum(), {})
    )
    engine = engine_of([phase], network)
    assert engine.gradient_norms() == {}
    engine.step()
    assert engine.gradient_norms() == {"player": pytest.approx(5.0)}


REMEDIES: list[dict[str, Any]] = [
    {"augment_discriminator": "diffaugment"},
    {"augment_discriminator": "ada", "augment_speed": 64},
    {"augment_flip": 0.5, "augment_rotate": 10.0, "augment_crop": 0.1, "augment_scale": 0.1},
    {"optimizer": "rmsprop"},
    {"optimizer": "adamw", "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01},
    {"schedule": "cosine", "schedule_warmup": 16},
    {"clip_gradient": 1.0, "orthogonal": 1e-4},
    {"dropout": 0.3},
    {"freeze": "discriminator.1.*"},
    {"losses": "r1"},
    {"losses": "wgan"},
    {"losses": "rpgan-r1-r2"},
    {"input": "loader"},
    {"model": "vae", "options": {"elbo": {"likelihood": "gaussian-learned"}}},
    {"model": "vae", "losses": "iwae"},
    {"model": "vae", "losses": "beta-tc-vae"},
    {"model": "vae", "losses": "info-vae"},
    {"model": "vq-vae"},
]


def _of(recipe: dict[str, Any]) -> dict[str, Any]:
    return {"model": "gan", **recipe}


def _title(recipe: dict[str, Any]) -> str:
    return "-".join(str(value) for value in recipe.values())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", REMEDIES, ids=_title)
def test_no_remedy_reads_tensors_on_the_host(catalogue: Catalogue, recipe: dict[str, Any]) -> None:
    engine = built(catalogue, **_of(recipe)).engine
    for _ in range(4):
        engine.step()
    with counting() as counts:
        for _ in range(16):  # also the steps in which lazy phases and the adaptation are due
            engine.step()
    assert "aten::_local_scalar_dense" not in counts


@pytest.mark.slow
@pytest.mark.parametrize("recipe", REMEDIES, ids=_title)
def test_every_remedy_resumes_exactly_from_a_checkpoint(
    catalogue: Catalogue, recipe: dict[str, Any], tmp_path: Path
) -> None:
    whole, first = (built(catalogue, **_of(recipe)) for _ in range(2))
    torch.manual_seed(5)  # dropout draws from the global generator
    for _ in range(20):
        whole.engine.step()
    torch.manual_seed(5)
    for _ in range(7):
        first.engine.step()
    save_checkpoint(tmp_path / "half.safetensors", first.engine, {}, {})
    second = built(catalogue, **_of(recipe))
    load_checkpoint(tmp_path / "half.safetensors", second.engine)
    for _ in range(13):
        second.engine.step()
    for name, network in whole.setup.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, second.setup.networks[name].state_dict()[key]), f"{name}.{key}"
    for cell in (whole, first, second):
        cell.engine.data.close()


def test_all_gradients_of_an_optimiser_are_cleared(catalogue: Catalogue) -> None:
    """As by its own `zero_grad`: networks that the phase does not name must not be moved by an old gradient."""
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(2))]}, {"params": [nn.Parameter(torch.ones(3))]}])
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in held:
        parameter.grad = torch.ones_like(parameter)
    Player(built(catalogue, "vae").engine.players[0].phase, optimizer, [], []).clear_gradients()
    assert [parameter.grad for parameter in held] == [None, None]
