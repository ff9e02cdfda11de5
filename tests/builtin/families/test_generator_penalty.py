"""Generators with noise, intermediate latents, and a penalty of the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import genbench
from genbench.api.recipe import resolve_recipe
from genbench.builtin.families.adversarial import Adversarial
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.train.engine import Engine
from genbench.train.engines.compiled import Compiled
from genbench.train.loss_functions import make_replaceable
from genbench.train.optimizers import make_optimizers
from genbench.train.state import state_kept

LATENTS, INNER, NOISE, BATCH = 3, 5, 2, 6
CPU = torch.device("cpu")


class Whole(nn.Module):
    """A generator that takes noise."""

    noise_dim = NOISE

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(LATENTS, INNER)
        self.last = nn.Linear(INNER + NOISE, 16)

    def forward(self, latents: Tensor, *, noise: Tensor | None = None) -> Tensor:
        return self.draw(self.first(latents), noise)

    def draw(self, inner: Tensor, noise: Tensor | None) -> Tensor:
        noise = torch.zeros(len(inner), NOISE) if noise is None else noise
        return self.last(torch.cat([inner, noise], 1)).tanh().unflatten(1, (1, 4, 4))  # type: ignore[no-any-return]


class Mapped(Whole):
    """The same with a mapping."""

    def intermediate(self, latents: Tensor, labels: Tensor | None = None, *, noise: Tensor | None = None) -> Tensor:
        return self.first(latents)  # type: ignore[no-any-return]

    def synthesise(self, intermediate: Tensor, *, noise: Tensor | None = None) -> Tensor:
        return self.draw(intermediate, noise)


def slopes(generator: Callable[[Tensor], Tensor], points: Tensor, rng: torch.Generator) -> genbench.Objective:
    """The mean squared gradient at the first half of the points."""
    points = points[: len(points) // 2]
    (gradient,) = torch.autograd.grad(generator(points).sum(), points, create_graph=True)
    total = gradient.square().sum(1).mean()
    return genbench.Objective(total, {"slope": total.detach().sqrt()})


def family(generator: nn.Module, every: int = 1, penalty: Any = slopes) -> Adversarial:
    loss = genbench.AdversarialLoss(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake, real: softplus(-fake).mean(),
        generator_penalty=penalty,
        generator_penalty_every=every,
    )
    torch.manual_seed(1)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))
    return Adversarial(
        genbench.Setup(
            networks={"generator": generator, "discriminator": discriminator},
            loss=loss,
            model=genbench.ModelSpec(name="tiny", family="adversarial", build=len, default_loss="x"),
            latent_dim=LATENTS,
            num_classes=0,
            recipe=resolve_recipe({}).settings,
            device=CPU,
        )
    )


def made(kind: type[nn.Module] = Mapped) -> nn.Module:
    torch.manual_seed(0)
    return kind()


def batch() -> genbench.Batch:
    return genbench.Batch(torch.zeros(BATCH, 1, 4, 4), None, torch.Generator().manual_seed(1), True, {})


def engine(players: Adversarial) -> Engine:
    settings = BatchSettings(
        pixels=torch.randint(256, (24, 1, 4, 4), dtype=torch.uint8),
        labels=None,
        batch_size=BATCH,
        value_range=(-1, 1),
        device=CPU,
        rng=torch.Generator().manual_seed(2),
    )
    phases = list(players.phases())
    networks = {name: network.train() for name, network in players.setup.networks.items()}
    return Engine(
        networks,
        phases,
        ResidentImages(settings),
        torch.Generator().manual_seed(3),
        make_optimizers(networks, phases, resolve_recipe({})),
    )


@pytest.mark.parametrize("kind", [Whole, Mapped])
def test_samples_have_new_noise_and_interpolations_none(kind: type[nn.Module]) -> None:
    players = family(made(kind))
    latents, first, again = (players.latents(4, torch.Generator().manual_seed(5)) for _ in range(3))
    assert torch.equal(first, again)
    with torch.no_grad():
        one, other = (players.sample(4, torch.Generator().manual_seed(5)) for _ in range(2))
        fixed = players.generate(latents)
        noise = torch.randn(4, NOISE, generator=_after_latents())
        assert torch.equal(one, other)
        assert torch.equal(one, players.generator(latents, noise=noise))
        assert torch.equal(fixed, players.generator(latents))
        assert not torch.equal(one, fixed)


def _after_latents() -> torch.Generator:
    rng = torch.Generator().manual_seed(5)
    torch.randn(4, LATENTS, generator=rng)
    return rng


def test_the_points_are_intermediate_latents_if_there_are_any() -> None:
    seen: list[tuple[int, ...]] = []

    def note(generator: Callable[[Tensor], Tensor], points: Tensor, rng: torch.Generator) -> Tensor:
        seen.append(tuple(points.shape))
        assert generator(points[:2]).shape == (2, 1, 4, 4)
        return points.square().mean()

    for kind in (Whole, Mapped):
        *_, phase = family(made(kind), 2, note).phases()
        phase.objective(batch())
    assert seen == [(BATCH, LATENTS), (BATCH, INNER)]


@pytest.mark.parametrize("kind", [Whole, Mapped])
def test_the_penalty_is_a_term_of_each_step_or_a_phase_of_each_kth(kind: type[nn.Module]) -> None:
    generator = made(kind)
    at_once, lazy = family(generator).phases(), family(generator, 4).phases()
    assert [phase.name for phase in at_once] == ["discriminator", "generator"]
    assert [(phase.name, phase.every, phase.optimizer) for phase in lazy][2:] == [("generator_penalty", 4, "generator")]
    found = lazy[2].objective(batch())
    torch.testing.assert_close(found.total, 4 * found.terms["penalty"])
    torch.testing.assert_close(found.terms["slope"], found.terms["penalty"].detach().sqrt())
    given = batch()
    at_once[0].objective(given)
    together = at_once[1].objective(given)
    assert {"penalty", "slope"} <= set(together.terms)
    plain = family(generator)
    plain.loss = dataclasses.replace(plain.loss, generator_penalty=None)
    first, second = plain.phases()
    given = batch()
    first.objective(given)
    torch.testing.assert_close(together.total, second.objective(given).total + together.terms["penalty"])


def test_the_generators_optimiser_is_slowed_as_for_any_lazy_regulariser() -> None:
    players = family(made(), 4)
    recipe = resolve_recipe({})
    optimizers = make_optimizers(players.setup.networks, players.phases(), recipe)
    assert optimizers["generator"] is optimizers["generator_penalty"]
    assert optimizers["generator"].param_groups[0]["lr"] == pytest.approx(4 / 5 * recipe.learning_rate)
    assert optimizers["discriminator"].param_groups[0]["lr"] == pytest.approx(recipe.learning_rate)


def test_the_penalty_lowers_the_slope() -> None:
    trained = engine(family(made(), 1, lambda *given: genbench.Objective(1000 * slopes(*given).total, {})))
    for _ in range(60):
        trained.step()
    series = trained.read_terms()["generator.penalty"]
    assert series[-10:].mean() < 0.9 * series[:10].mean()


def test_compiled_networks_are_not_used_in_the_penalty() -> None:
    """Compiled code cannot be differentiated twice: the generator is compiled in the other phases alone."""
    spec = genbench.LossSpec(name="smooth", family="adversarial", create=len)
    series = []
    for compiled in (False, True):
        players = family(made(Whole), 2)
        players.loss, functions = make_replaceable(players.loss, spec)
        trained = engine(players)
        trained.functions = functions
        if compiled:
            with state_kept(trained):
                trained.execution = Compiled(trained, backend="aot_eager")
            assert trained.execution.notes == ()
        for _ in range(3):
            trained.step()
        series.append(trained.read_terms())
        trained.execution.close()
    torch.testing.assert_close(*series, rtol=1e-4, atol=1e-5)
    assert len(series[0]["generator_penalty.slope"]) == 2


def test_an_interval_below_one_is_refused() -> None:
    with pytest.raises(genbench.GenbenchError, match="generator_penalty_every = 0"):
        family(made(), 0)


def test_further_images_have_the_noise_of_the_fakes() -> None:
    """So a loss that compares fakes of slightly different latents sees only these."""
    seen: list[Tensor] = []

    def terms(given: genbench.AdversarialBatch) -> Tensor:
        seen.append((given.generate(given.latents) - given.fake).abs().max())
        return given.fake_logits.new_zeros(())

    players = family(made())
    players.loss = dataclasses.replace(players.loss, discriminator_terms=terms, generator_terms=terms)
    shared = batch()
    players.discriminator_objective(shared)
    players.generator_objective(shared)
    assert torch.stack(seen).tolist() == [0.0, 0.0]
