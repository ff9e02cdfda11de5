"""The adversarial family: gradients, augmentation, and the lazy penalty."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus
from torch.utils._python_dispatch import TorchDispatchMode

import genbench
from genbench.api.options import resolve_options
from genbench.api.recipe import resolve_recipe
from genbench.api.specs import ModelSpec, Setup, resolve
from genbench.api.training import (
    AdversarialLoss,
    Batch,
    LatentFamily,
    Objective,
    Phase,
)
from genbench.builtin.families.adversarial import Adversarial
from genbench.builtin.families.per_sample import processes_independently
from genbench.builtin.losses.adversarial import specs
from genbench.builtin.losses.adversarial.games import total_of
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.train.engine import Engine
from genbench.train.optimizers import make_optimizers

CPU = torch.device("cpu")
LATENTS, CLASSES, BATCH = 3, 4, 6
ENERGIES = ("began", "ebgan", "ebgan-pt")  # losses of another kind of discriminator
LOSSES = {spec.name: spec for spec in specs() if spec.name not in ENERGIES}
DISCRIMINATOR_TERMS = {"real_logit", "fake_logit", "margin", "accuracy_real", "accuracy_fake"}


def made(name: str, **options: Any) -> AdversarialLoss:
    spec = LOSSES[name]
    loss: AdversarialLoss = resolve(spec.create)(spec.make_options(resolve_options(spec.option_schema, options, name)))
    return loss


class ConditionalGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(CLASSES, LATENTS)
        self.body = nn.Sequential(nn.Linear(LATENTS, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.body(latents + self.embed(labels))  # type: ignore[no-any-return]


class ClassifyingDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh())
        self.source, self.classes = nn.Linear(8, 1), nn.Linear(8, CLASSES)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return self.source(features), self.classes(features)


def plain_networks(channels: int = 1) -> dict[str, nn.Module]:
    values = 16 * channels
    return {
        "generator": nn.Sequential(nn.Linear(LATENTS, values), nn.Tanh(), nn.Unflatten(1, (channels, 4, 4))),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(values, 8), nn.Tanh(), nn.Linear(8, 1)),
    }


def conditional_networks() -> dict[str, nn.Module]:
    return {"generator": ConditionalGenerator(), "discriminator": ClassifyingDiscriminator()}


def family(
    loss: AdversarialLoss,
    networks: Mapping[str, nn.Module] | None = None,
    augmentation: genbench.Augmentation | None = None,
    conditional: bool = False,
    **recipe: Any,
) -> Adversarial:
    torch.manual_seed(0)
    return Adversarial(
        Setup(
            networks=networks or (conditional_networks() if conditional else plain_networks()),
            loss=loss,
            model=ModelSpec(name="tiny", family="adversarial", build=len, default_loss="x", conditional=conditional),
            latent_dim=LATENTS,
            num_classes=CLASSES,
            recipe=resolve_recipe(recipe).settings,
            device=CPU,
            augmentation=augmentation,
        )
    )


def batch(labels: bool = False, last: bool = True, channels: int = 1) -> Batch:
    rng = torch.Generator().manual_seed(1)
    images = torch.rand(BATCH, channels, 4, 4, generator=rng) * 2 - 1
    return Batch(images, torch.arange(BATCH) % CLASSES if labels else None, rng, last, {})


def run(phases: Mapping[str, Phase], given: Batch) -> dict[str, Objective]:
    """Evaluate the objective of every phase on the same batch, without updates."""
    return {name: phase.objective(given) for name, phase in phases.items()}


def phases_of(made_family: Adversarial) -> dict[str, Phase]:
    return {phase.name: phase for phase in made_family.phases()}


def engine(made_family: Adversarial, precision: str = "fp32") -> Engine:
    rng = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (24, 1, 4, 4), dtype=torch.uint8, generator=rng)
    labels = torch.arange(24) % CLASSES if made_family.conditional else None
    data = ResidentImages(BatchSettings(pixels, labels, BATCH, (-1.0, 1.0), CPU, rng))
    setup, phases = made_family.setup, made_family.phases()
    optimizers = make_optimizers(setup.networks, phases, resolve_recipe(setup.recipe))
    return Engine(setup.networks, phases, data, torch.Generator().manual_seed(3), optimizers, precision)


# ----------------------------------------------------------------------------------------------------------------------
# Whose gradient goes where


def gradients(network: nn.Module) -> list[Tensor | None]:
    return [p.grad for p in network.parameters()]


@pytest.mark.parametrize("name", [*LOSSES])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_discriminators_phase_leaves_no_gradient_in_the_generator(name: str, conditional: bool) -> None:
    players = family(made(name), conditional=conditional)
    given = batch(labels=conditional)
    for phase in phases_of(players).values():
        if phase.networks == ("discriminator",):
            phase.objective(given).total.backward()  # type: ignore[no-untyped-call]
    assert gradients(players.generator) == [None] * len(gradients(players.generator))
    assert any(g is not None and g.any() for g in gradients(players.discriminator))


@pytest.mark.parametrize("every", [1, 4])
def test_a_penalty_on_fakes_does_not_reach_the_generator_either(every: int) -> None:
    loss = dataclasses.replace(
        made("hinge"), penalty=lambda judge, real, fake, rng: judge(fake).square().mean(), penalty_every=every
    )
    players, given = family(loss), batch()
    objectives = run(phases_of(players), given)
    for objective in (objectives["discriminator"], objectives.get("penalty", objectives["discriminator"])):
        objective.total.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert gradients(players.generator) == [None] * len(gradients(players.generator))


@pytest.mark.parametrize("name", [*LOSSES])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_generators_phase_leaves_no_gradient_in_the_frozen_discriminator(name: str, conditional: bool) -> None:
    players = family(made(name), conditional=conditional)
    phases, given = phases_of(players), batch(labels=conditional)
    phases["discriminator"].objective(given)
    assert phases["generator"].frozen == ("discriminator",)
    players.discriminator.requires_grad_(False)
    phases["generator"].objective(given).total.backward()  # type: ignore[no-untyped-call]
    assert gradients(players.discriminator) == [None] * len(gradients(players.discriminator))
    assert all(g is not None and g.any() for g in gradients(players.generator))


def test_only_the_last_repeat_of_the_discriminator_keeps_the_generators_graph() -> None:
    phase = phases_of(family(made("wgan-gp"), discriminator_steps=3))["discriminator"]
    assert phase.repeats == 3
    for last in (False, True):
        given = batch(last=last)
        phase.objective(given)
        assert given.shared["fake"].requires_grad is last


# ----------------------------------------------------------------------------------------------------------------------
# The lazy penalty, and clipped weights


def discriminator_gradient(players: Adversarial, given: Batch, names: list[str]) -> Tensor:
    players.discriminator.zero_grad()
    phases = phases_of(players)
    for name in names:
        phases[name].objective(given).total.backward()  # type: ignore[no-untyped-call]
    return torch.cat([p.grad.flatten() for p in players.discriminator.parameters() if p.grad is not None])


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_lazy_penalty_over_k_steps_equals_one_in_every_update(repeats: int) -> None:
    every, steps = 4, {"discriminator_steps": repeats}
    without = discriminator_gradient(family(made("non-saturating")), batch(), ["discriminator"])
    eager = discriminator_gradient(family(made("r1", penalty_every=1), **steps), batch(), ["discriminator"])
    lazy_family = family(made("r1", penalty_every=every), **steps)
    lazy = discriminator_gradient(lazy_family, batch(), ["discriminator", "penalty"])
    torch.testing.assert_close(lazy - without, every * repeats * (eager - without), rtol=1e-4, atol=1e-5)


def test_a_lazy_penalty_is_a_phase_that_shares_the_discriminators_optimiser() -> None:
    phases = phases_of(family(made("r1")))
    assert [*phases] == ["discriminator", "penalty", "generator"]
    penalty = phases["penalty"]
    assert (penalty.every, penalty.networks, penalty.optimizer) == (16, ("discriminator",), "discriminator")
    eager = family(made("r1", penalty_every=1))
    assert [*phases_of(eager)] == ["discriminator", "generator"]
    terms = run(phases_of(eager), batch())["discriminator"].terms
    lazy = run(phases, batch())
    assert "penalty" not in lazy["discriminator"].terms
    assert lazy["penalty"].terms["penalty"].item() == pytest.approx(terms["penalty"].item())  # the same curve
    assert lazy["penalty"].total.item() == pytest.approx(16 * terms["penalty"].item())


def test_the_engine_runs_the_lazy_penalty_in_each_kth_step() -> None:
    trained = engine(family(made("r1", penalty_every=3)))
    for _ in range(7):
        trained.step()
    assert {player.phase.name: player.updates for player in trained.players} == {
        "discriminator": 7,
        "penalty": 3,
        "generator": 7,
    }
    read = trained.read_terms()
    assert len(read["penalty.penalty"]) == 3
    assert all(series.isfinite().all() for series in read.values())


def test_r1_lowers_the_gradient_at_real_images() -> None:
    """The effect, not only that it runs: the same training with and without the penalty."""

    def slope(loss: AdversarialLoss) -> float:
        players = family(loss, learning_rate=0.01)
        trained = engine(players)
        for _ in range(60):
            trained.step()
        images = batch().images.requires_grad_()
        (gradient,) = torch.autograd.grad(players.discriminator(images).sum(), images)
        return gradient.flatten(1).norm(dim=1).mean().item()

    free = slope(made("non-saturating"))
    assert slope(made("r1", gamma=10, penalty_every=1)) < 0.5 * free
    assert slope(made("r1", gamma=10, penalty_every=4)) < 0.5 * free


@pytest.mark.parametrize("loss", [made("wgan", clip=0.03)], ids=["wgan"])
def test_after_every_update_the_discriminators_weights_are_within_bounds(loss: AdversarialLoss) -> None:
    players = family(loss, learning_rate=0.1)
    before = copy.deepcopy(players.generator.state_dict())
    trained = engine(players)
    for _ in range(3):
        trained.step()
    weights = torch.cat([p.detach().flatten() for p in players.discriminator.parameters()])
    assert weights.abs().max().item() == pytest.approx(0.03)
    assert not torch.equal(weights.abs(), torch.full_like(weights, 0.03))
    assert any(not torch.equal(before[name], value) for name, value in players.generator.state_dict().items())


def test_clipping_does_not_change_frozen_parameters_or_the_generator() -> None:
    players = family(made("wgan", clip=1e-3))
    first = next(players.discriminator.parameters()).requires_grad_(False)
    kept = first.clone()
    after_update = phases_of(players)["discriminator"].after_update
    assert after_update is not None
    after_update()
    assert torch.equal(first, kept)
    assert all((p.abs() <= 1e-3).all() for p in players.discriminator.parameters() if p.requires_grad)
    assert any((p.abs() > 1e-3).any() for p in players.generator.parameters())
    assert phases_of(family(made("hinge")))["discriminator"].after_update is None


# ----------------------------------------------------------------------------------------------------------------------
# Curves


def test_the_curves_of_the_discriminator_are_fractions_and_means_of_its_logits() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            real = torch.tensor([1.0, 2.0, 0.0, -1.0, 3.0, 1.0])
            return self.scale * (real if self.calls == 1 else torch.tensor([-1.0, -1.0, 0.0, 2.0, 3.0, 3.0]))

    networks = {"generator": plain_networks()["generator"], "discriminator": Fixed()}
    terms = family(made("hinge"), networks).discriminator_objective(batch()).terms
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(
        {"real_logit": 1.0, "fake_logit": 1.0, "margin": 0.0, "accuracy_real": 4 / 6, "accuracy_fake": 2 / 6}
    )
    assert not any(value.requires_grad for value in terms.values())


class FixedLogits(nn.Module):
    """Logits of real images, then of fakes."""

    def __init__(self, real: list[float], fake: list[float]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.logits = [torch.tensor(fake), torch.tensor(real)]

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * self.logits.pop()


@pytest.mark.parametrize(
    ("name", "shift", "accuracy_real", "accuracy_fake"),
    [
        ("non-saturating", 0.0, 4 / 6, 2 / 6),
        ("lsgan", 0.5, 4 / 6, 2 / 6),  # its targets are 1 and 0: half way is where it cannot tell
        # Above the mean of the fakes, 1, lie 4 real images of 6; below that of the real ones, 2, lie 3 fakes.
        ("wgan", 0.0, 4 / 6, 3 / 6), ("wgan", 1000.0, 4 / 6, 3 / 6), ("relativistic", -1000.0, 4 / 6, 3 / 6),
        ("wgan-gp", 9.0, 4 / 6, 3 / 6), ("rpgan-r1-r2", 9.0, 4 / 6, 3 / 6),
    ],
)  # fmt: skip
def test_accuracies_use_the_boundary_or_the_mean_of_the_other_kind(
    name: str, shift: float, accuracy_real: float, accuracy_fake: float
) -> None:
    real, fake = [2.0, 4.0, 0.0, -1.0, 3.0, 4.0], [-1.0, -1.0, 0.0, 2.0, 3.0, 3.0]
    judge = FixedLogits([logit + shift for logit in real], [logit + shift for logit in fake])
    networks = {"generator": plain_networks()["generator"], "discriminator": judge}
    loss = dataclasses.replace(made(name), penalty=None)
    terms = family(loss, networks).discriminator_objective(batch()).terms
    assert terms["accuracy_real"].item() == pytest.approx(accuracy_real)
    assert terms["accuracy_fake"].item() == pytest.approx(accuracy_fake)


@pytest.mark.parametrize("name", [*LOSSES])
def test_ada_uses_the_boundary_and_is_refused_where_there_is_none(name: str) -> None:
    class Counting:
        def __init__(self) -> None:
            self.seen: list[Tensor] = []

        def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
            return images

        def observe(self, real_logits: Tensor) -> None:
            self.seen.append(real_logits)

        def terms(self) -> dict[str, Tensor]:
            return {}

    if name in ("wgan", "wgan-gp", "relativistic", "rpgan-r1-r2"):
        with pytest.raises(genbench.GenbenchError, match="only differences of logits are meaningful"):
            family(made(name), augment_discriminator="ada")
        assert family(made(name), augment_discriminator="diffaugment")
        return
    counting = Counting()
    loss = dataclasses.replace(made(name), penalty=None)
    players = family(loss, augmentation=counting, augment_discriminator="ada")
    terms = players.discriminator_objective(batch()).terms
    (seen,) = counting.seen
    assert seen.mean().item() == pytest.approx(terms["real_logit"].item() - (0.5 if name == "lsgan" else 0.0))


@pytest.mark.parametrize("name", [*LOSSES])
def test_the_weighted_total_is_that_of_the_two_plain_losses(name: str) -> None:
    loss = made(name)
    players, given = family(loss), batch()
    objectives = run(phases_of(players), given)
    assert {*objectives["discriminator"].terms} >= DISCRIMINATOR_TERMS
    real = players.discriminator(given.images).flatten()
    fake = players.discriminator(given.shared["fake"]).flatten()
    plain = made("non-saturating") if name == "weighted" else loss
    if name == "lecam":  # the first update sets the averages, and the second would move them
        loss.module.updates.zero_()
    one, other = ((real,), (fake,)) if plain.takes_scales else (real, fake)
    expected = 0.5 * total_of(plain.discriminator(one, other)) + 0.5 * total_of(plain.generator(other, one))
    assert objectives["generator"].terms["weighted_total"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("alpha", [0.1, 0.9])
def test_the_weighted_loss_shows_the_total_that_its_players_minimise(alpha: float) -> None:
    objectives = run(phases_of(family(made("weighted", alpha=alpha))), batch())
    plain = run(phases_of(family(made("non-saturating"))), batch())
    expected = alpha * plain["discriminator"].total + (1 - alpha) * plain["generator"].total
    assert objectives["generator"].terms["weighted_total"].item() == pytest.approx(expected.item(), rel=1e-5)
    sides = objectives["discriminator"].total + objectives["generator"].total
    assert sides.item() == pytest.approx(expected.item(), rel=1e-5)


# ----------------------------------------------------------------------------------------------------------------------
# Classes


def test_class_losses_are_of_real_and_fake_images_for_the_discriminator_and_of_fakes_for_the_generator() -> None:
    players, given = family(made("non-saturating"), conditional=True), batch(labels=True)
    objectives = run(phases_of(players), given)
    real_logits, real_classes = players.discriminator(given.images)
    fake_logits, fake_classes = players.discriminator(given.shared["fake"])
    assert given.labels is not None
    class_real, class_fake = cross_entropy(real_classes, given.labels), cross_entropy(fake_classes, given.labels)
    discriminator, generator = objectives["discriminator"], objectives["generator"]
    game = softplus(-real_logits).mean() + softplus(fake_logits).mean()
    assert discriminator.terms["class_real"].item() == pytest.approx(class_real.item())
    assert discriminator.terms["class_fake"].item() == pytest.approx(class_fake.item())
    assert discriminator.total.item() == pytest.approx((game + class_real + class_fake).item())
    assert generator.terms["class_fake"].item() == pytest.approx(class_fake.item())
    assert generator.total.item() == pytest.approx((softplus(-fake_logits).mean() + class_fake).item())


def test_the_class_loss_of_a_uniform_prediction_is_the_logarithm_of_the_number_of_classes() -> None:
    players = family(made("hinge"), conditional=True)
    nn.init.zeros_(players.discriminator.classes.weight)  # type: ignore[union-attr, arg-type]
    nn.init.zeros_(players.discriminator.classes.bias)  # type: ignore[union-attr, arg-type]
    terms = players.discriminator_objective(batch(labels=True)).terms
    assert terms["class_real"].item() == pytest.approx(math.log(CLASSES))


def test_class_logits_without_labels_are_an_error_with_a_remedy() -> None:
    networks = {**plain_networks(), "discriminator": ClassifyingDiscriminator()}
    with pytest.raises(genbench.GenbenchError, match="conditional=True"):
        family(made("hinge"), networks).discriminator_objective(batch())


# ----------------------------------------------------------------------------------------------------------------------
# One pass of the discriminator or two


class Counted(nn.Tanh):
    """Not one of torch's own layers, so its effect on a batch is unknown."""

    passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(images)


@pytest.mark.parametrize("name", [*LOSSES])
def test_one_pass_for_real_images_and_fakes_gives_the_objective_of_two(name: str) -> None:
    networks = plain_networks()
    counted = Counted()
    apart = {**networks, "discriminator": nn.Sequential(*networks["discriminator"], counted)}
    together = {**networks, "discriminator": nn.Sequential(*networks["discriminator"], nn.Tanh())}
    found, expected = (
        phases_of(family(made(name), each))["discriminator"].objective(batch()) for each in (together, apart)
    )
    assert counted.passes >= 2
    for term, value in {"total": expected.total, **expected.terms}.items():
        torch.testing.assert_close({"total": found.total, **found.terms}[term], value)
    weight = networks["discriminator"][1].weight  # type: ignore[index]
    gradients = [torch.autograd.grad(objective.total, weight)[0] for objective in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("layer", "alone"),
    [
        (nn.LeakyReLU(0.2), True),
        (nn.LayerNorm(8), True),
        (nn.BatchNorm1d(8), False),
        (nn.Dropout(0.5), False),
        (nn.utils.spectral_norm(nn.Linear(8, 8)), False),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)), False),
        (nn.Flatten(0), False),
        (Counted(), False),
    ],
)
def test_only_networks_of_known_independent_layers_process_both_in_one_pass(layer: nn.Module, alone: bool) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), layer, nn.Linear(8, 1), nn.Flatten(0))
    assert processes_independently(network) == alone


# ----------------------------------------------------------------------------------------------------------------------
# Augmentation


@dataclass
class Shift:
    """Adds the same number to all images, and records its input."""

    amount: float = 0.5
    seen: list[Tensor] = field(default_factory=list)
    observed: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        self.seen.append(images)
        return images + self.amount

    def observe(self, real_logits: Tensor) -> None:
        self.observed.append(real_logits)

    def terms(self) -> Mapping[str, Tensor]:
        return {"augment_probability": torch.tensor(0.25)}


@pytest.mark.parametrize("name", ["non-saturating", "relativistic", "r1", "wgan-gp", "rpgan-r1-r2"])
def test_the_discriminator_never_sees_an_image_that_is_not_augmented(name: str) -> None:
    """A shift of all images is undone by a discriminator that subtracts it first: every objective must agree."""

    class Unshift(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images - 0.5

    networks = plain_networks()
    shifted = {**networks, "discriminator": nn.Sequential(Unshift(), networks["discriminator"])}
    augmentation = Shift()
    found = run(phases_of(family(made(name), shifted, augmentation)), batch())
    expected = run(phases_of(family(made(name), networks)), batch())
    for phase in expected:
        assert found[phase].total.item() == pytest.approx(expected[phase].total.item(), rel=1e-4), phase
    (observed,) = augmentation.observed
    assert observed.shape == (BATCH,)
    assert not observed.requires_grad
    assert observed.mean().item() == pytest.approx(expected["discriminator"].terms["real_logit"].item(), rel=1e-4)
    assert found["discriminator"].terms["augment_probability"].item() == 0.25


def test_the_generator_learns_through_the_augmentation() -> None:
    class Blind(Shift):
        def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
            return 0 * images

    players, given = family(made("non-saturating"), augmentation=Blind()), batch()
    objectives = run(phases_of(players), given)
    objectives["generator"].total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and not p.grad.any() for p in players.generator.parameters())


# ----------------------------------------------------------------------------------------------------------------------
# Sampling, precision, and what is refused


@pytest.mark.parametrize("conditional", [False, True])
def test_a_sample_is_generated_from_latents_of_the_prior(conditional: bool) -> None:
    players = family(made("hinge"), conditional=conditional)
    labels = torch.arange(5) % CLASSES if conditional else None
    latents = players.latents(5, torch.Generator().manual_seed(4))
    assert isinstance(players, LatentFamily)
    assert latents.shape == (5, LATENTS)
    sampled = players.sample(5, torch.Generator().manual_seed(4), labels)
    assert torch.equal(sampled, players.generate(latents, labels))


@pytest.mark.parametrize("name", [*LOSSES])
@pytest.mark.parametrize("conditional", [False, True])
def test_losses_train_in_bf16_with_losses_and_penalties_in_single_precision(name: str, conditional: bool) -> None:
    players = family(made(name), conditional=conditional)
    phases, given = phases_of(players), batch(labels=conditional)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(phases, given)
    assert given.shared["fake"].dtype == torch.bfloat16
    expected = run(phases, batch(labels=conditional))
    for phase, objective in found.items():
        assert objective.total.dtype == torch.float32
        assert objective.total.item() == pytest.approx(expected[phase].total.item(), rel=0.05, abs=0.05)
        assert all(term.dtype == torch.float32 for term in objective.terms.values())
    trained = engine(players, "bf16")
    for _ in range(2):
        trained.step()
    assert all(series.isfinite().all() for series in trained.read_terms().values())


class HostReads(TorchDispatchMode):
    """Refuses what `.item()`, `float()` and `bool()` of a tensor come down to."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._schema.name not in ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*LOSSES])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_reads_a_tensor_on_the_host(name: str, precision: str) -> None:
    loss = made(name, penalty_every=2) if name == "r1" else made(name)
    trained = engine(family(loss, augmentation=Shift(), conditional=True), precision)
    trained.step()  # optimisers make their state here
    with HostReads():
        for _ in range(2):
            trained.step()


@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "r1", "rpgan-r1-r2"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_penalties_go_through_convolutions_with_batch_norm_and_in_place_activations(name: str, precision: str) -> None:
    discriminator = nn.Sequential(
        nn.Conv2d(1, 4, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(4, 1, 2, 1, 0, bias=False), nn.Flatten(0),
    ).to(memory_format=torch.channels_last)  # fmt: skip
    players = family(made(name), {**plain_networks(), "discriminator": discriminator})
    before = copy.deepcopy(discriminator.state_dict())
    trained = engine(players, precision)
    trained.step()
    assert all(series.isfinite().all() for series in trained.read_terms().values())
    assert all(not torch.equal(before[name], p) for name, p in discriminator.named_parameters())


@pytest.mark.parametrize(("name", "learns"), [("wgan-gp", False), ("rpgan-r1-r2", False), ("r1", True)])
def test_losses_on_differences_give_the_last_bias_no_gradient(name: str, learns: bool) -> None:
    """Adding a number to all logits changes neither the game nor the slope of the discriminator."""
    players = family(made(name))
    phases_of(players)["discriminator"].objective(batch()).total.backward()  # type: ignore[no-untyped-call]
    *others, last = gradients(players.discriminator)
    assert last is not None
    assert (last.abs().item() > 1e-6) is learns
    assert all(gradient is not None and gradient.any() for gradient in others)


@pytest.mark.parametrize("name", [*LOSSES])
def test_models_train_on_three_channels(name: str) -> None:
    objectives = run(phases_of(family(made(name), plain_networks(3))), batch(channels=3))
    assert all(objective.total.isfinite() for objective in objectives.values())


@pytest.mark.parametrize(
    ("fields", "named"), [({"penalty_every": 0}, "penalty_every"), ({"clip_weights": 0.0}, "clip_weights")]
)
def test_invalid_settings_of_a_loss_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(genbench.GenbenchError, match=named):
        family(dataclasses.replace(made("hinge"), **fields))
