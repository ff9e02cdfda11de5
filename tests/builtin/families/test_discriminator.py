"""What discriminators return, by kind: what the loss is given, what is refused, and with which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import genbench
from genbench.api.recipe import resolve_recipe
from genbench.builtin.families.adversarial import Adversarial
from genbench.builtin.losses.adversarial import games
from genbench.errors import NetworkError, SpecError
from genbench.train.engine import Engine
from genbench.train.optimizers import make_optimizers

B, LATENTS, CLASSES = 4, 3, 5
SHAPE = (1, 4, 4)
ENERGIES = genbench.AdversarialLoss(
    lambda real, fake: real.mean() - fake.mean(),
    lambda fake, real: fake.mean(),
    boundary=None,
    energy=lambda images, found: (images - found).square().mean((1, 2, 3)),
)
PLAIN = genbench.AdversarialLoss(games.binary_cross_entropy, games.non_saturating_generator)


class Returns(nn.Module):
    """A discriminator that returns what `give` makes of 16 learned features of each image."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.body, self.give = nn.Linear(16, 16), give

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Any:
        return self.give(self.body(images.flatten(1)))


def family(give: Any, kind: str = "", loss: genbench.AdversarialLoss = PLAIN, conditional: bool = False) -> Adversarial:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(LATENTS, 16), nn.Tanh(), nn.Unflatten(1, SHAPE))
    networks: dict[str, nn.Module] = {"generator": generator, "discriminator": Returns(give)}
    if loss.module is not None:
        networks["loss"] = loss.module
    model = genbench.ModelSpec(
        name="mine",
        family="adversarial",
        build=len,
        default_loss="x",
        conditional=conditional,
        discriminator_output=kind,  # type: ignore[arg-type]
    )
    recipe = resolve_recipe().settings
    return Adversarial(genbench.Setup(networks, loss, model, LATENTS, CLASSES, recipe, torch.device("cpu")))


def images() -> Tensor:
    return torch.rand(B, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def objectives(made: Adversarial) -> dict[str, genbench.Objective]:
    batch = genbench.Batch(images(), None, torch.Generator().manual_seed(2), True, {})
    return {phase.name: phase.objective(batch) for phase in made.phases()}


ACCEPTED = {
    "one logit": ("logits", lambda f: f[:, 0]),
    "a column": ("logits", lambda f: f[:, :1]),
    "a map": ("logits", lambda f: f.view(B, 1, 4, 4)),
    "undeclared logits": ("", lambda f: f[:, 0]),
    "features": ("features", lambda f: (f[:, 0], f)),
    "maps of features": ("features", lambda f: (f[:, :1], f.view(B, 4, 2, 2))),
    "one scale": ("scales", lambda f: [f[:, 0]]),
    "three scales": ("scales", lambda f: (f[:, 0], f.view(B, 1, 4, 4), f[:, :4].view(B, 1, 2, 2))),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_declared_outputs_pass_the_check_and_train(case: str) -> None:
    kind, give = ACCEPTED[case]
    made = family(give, kind)
    made.check_networks(images())
    for objective in objectives(made).values():
        assert objective.total.shape == ()
        assert bool(objective.total.isfinite())


REFUSED = {
    "two logits": ("", lambda f: f[:, :2], r"\(4, 2\).*\(4,\) or \(4, 1\)"),
    "two logits, declared": ("logits", lambda f: f[:, :2], r"\(4, 2\).*declares discriminator_output = 'logits'"),
    "one for the batch": ("", lambda f: f.mean(), r"shape \(\)"),
    "maps without channel": ("", lambda f: f.view(B, 4, 4), r"\(4, 4, 4\)"),
    "a map, flat over the batch": ("", lambda f: f.flatten(), r"\(64,\)"),
    "a dict": ("", lambda f: {"logits": f}, r"returned dict"),
    "a triple": ("", lambda f: (f[:, 0], f, f), r"tuple of.*\(4,\).*\(4, 16\)"),
    "a pair instead of logits": ("logits", lambda f: (f[:, 0], f), r"tuple of"),
    "logits instead of features": ("features", lambda f: f[:, 0], r"a pair"),
    "features of no image": ("features", lambda f: (f[:, 0], f.mean(0)), r"features \(4, …\)"),
    "codes of no image": (
        "coded-reconstructions",
        lambda f: (f.view(B, *SHAPE), f.mean(0)),
        r"reconstructions \(4, 1, 4, 4\); and codes \(4, …\)",
    ),
    "reconstructions without codes": ("coded-reconstructions", lambda f: f.view(B, *SHAPE), r"a pair"),
    "no scale": ("scales", lambda f: [], r"list of nothing"),
    "a scale with two channels": ("scales", lambda f: [f[:, 0], f.view(B, 2, 2, 4)], r"\(4, 2, 2, 4\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_outputs_are_refused_with_both_shapes_the_model_and_the_network(case: str) -> None:
    kind, give, text = REFUSED[case]
    labels = torch.arange(B)
    made = family(give, kind, ENERGIES if kind == "coded-reconstructions" else PLAIN, conditional=True)
    with pytest.raises(NetworkError, match=text) as error:
        made.check_networks(images(), labels)
    assert error.value.network == "discriminator"


def test_class_logits_need_labels_and_one_value_for_each_class() -> None:
    pair = lambda f: (f[:, 0], f[:, :CLASSES])  # noqa: E731
    family(pair, conditional=True).check_networks(images(), torch.arange(B))
    family(pair, "class-logits", conditional=True).check_networks(images(), torch.arange(B))
    with pytest.raises(SpecError, match="there are no labels"):
        family(pair).check_networks(images())
    few = lambda f: (f[:, 0], f[:, : CLASSES - 1])  # noqa: E731
    with pytest.raises(NetworkError, match=r"class logits \(4, 5\)"):
        family(few, "class-logits", conditional=True).check_networks(images(), torch.arange(B))


def test_the_loss_of_several_scales_is_the_sum_over_them() -> None:
    give = lambda f: (f[:, 0], f[:, 1:5].view(B, 1, 2, 2))  # noqa: E731
    total = objectives(family(give, "scales"))["discriminator"].total
    parts = [objectives(family(lambda f, n=n: give(f)[n]))["discriminator"].total for n in range(2)]
    assert total.item() == pytest.approx(sum(part.item() for part in parts), rel=1e-6)


def test_a_loss_of_all_scales_is_called_once_with_the_logits_of_each() -> None:
    seen: list[list[int]] = []

    def discriminator(real: tuple[Tensor, ...], fake: tuple[Tensor, ...]) -> Tensor:
        seen.append([len(scale) for scale in (*real, *fake)])
        return real[0].mean() - 2 * fake[1].mean()

    loss = genbench.AdversarialLoss(discriminator, lambda fake, real: fake[0].mean() + fake[1].sum(), takes_scales=True)
    give = lambda f: (f[:, 0], f[:, 1:5].view(B, 1, 2, 2))  # noqa: E731
    objectives(family(give, "scales", loss))
    assert seen == [[B, 4 * B, B, 4 * B]]


def test_codes_are_passed_to_the_loss_and_ignored_by_one_that_takes_none() -> None:
    give = lambda f: (f.view(B, *SHAPE), f[:, :5])  # noqa: E731
    with_codes = replace(ENERGIES, features=lambda real, fake: 7 * fake.square().mean())
    found = objectives(family(give, "coded-reconstructions", with_codes))["generator"]
    plain = objectives(family(give, "coded-reconstructions", ENERGIES))["generator"]
    alone = objectives(family(lambda f: f.view(B, *SHAPE), "reconstructions", ENERGIES))["generator"]
    assert torch.equal(plain.total, alone.total)
    assert torch.allclose(found.total, plain.total + found.terms["features"])
    with pytest.raises(SpecError, match=r"discriminator_outputs=\('coded-reconstructions',\)"):
        family(lambda f: f.view(B, *SHAPE), "reconstructions", with_codes)


def test_further_terms_are_added_to_the_loss_of_their_player() -> None:
    """The discriminator's further fakes have no graph; the generator's have one, and a discriminator with weights."""
    seen: dict[str, genbench.AdversarialBatch] = {}
    graphs: dict[str, bool] = {}

    def of(player: str, factor: float) -> Any:
        def terms(batch: genbench.AdversarialBatch) -> genbench.Objective:
            seen[player] = batch
            other = batch.generate(batch.draw_latents())
            graphs[player] = other.requires_grad
            value = factor * batch.discriminate(other).mean()
            return genbench.Objective(value, {"further": value})

        return terms

    loss = replace(PLAIN, discriminator_terms=of("discriminator", 2.0), generator_terms=of("generator", 3.0))
    found = objectives(family(lambda f: f[:, 0], loss=loss))
    assert graphs == {"discriminator": False, "generator": True}
    assert not seen["discriminator"].fake.requires_grad
    assert torch.equal(seen["discriminator"].latents, seen["generator"].latents)
    assert torch.equal(seen["discriminator"].fake, seen["generator"].fake)
    assert seen["generator"].real_logits is None
    real_logits = seen["discriminator"].real_logits
    assert real_logits is not None
    assert torch.allclose(real_logits, seen["discriminator"].discriminate(images()))
    plain = objectives(family(lambda f: f[:, 0]))
    for player, objective in found.items():
        assert torch.allclose(objective.total, plain[player].total + objective.terms["further"])


class Fading(nn.Module):
    """A generator whose images brighten as training goes on."""

    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(LATENTS, 16)
        self.register_buffer("level", torch.zeros(()))

    def set_progress(self, progress: Tensor) -> None:
        self.level.copy_(progress)

    def forward(self, latents: Tensor) -> Tensor:
        return (self.level + 0 * self.body(latents)).view(-1, *SHAPE)


def test_networks_with_a_schedule_are_told_the_progress_before_each_phase() -> None:
    made = family(lambda f: f[:, 0])
    networks = {**made.setup.networks, "generator": Fading()}
    made = Adversarial(replace(made.setup, networks=networks))
    for progress in (0.25, 0.5):
        batch = genbench.Batch(images(), None, torch.Generator().manual_seed(2), True, {}, torch.full((), progress))
        for phase in made.phases():
            phase.objective(batch)
        assert made.sample(2, batch.rng).unique().tolist() == [progress]


def test_feature_matching_is_added_to_the_generators_loss_alone() -> None:
    """‖E f(x) - E f(G(z))‖² (Salimans et al. 2016, section 3.1); the features of real images are a constant there."""

    def matching(real: Tensor, fake: Tensor) -> Tensor:
        return (real.mean(0) - fake.mean(0)).square().sum()

    loss = genbench.AdversarialLoss(games.binary_cross_entropy, games.non_saturating_generator, features=matching)
    give = lambda f: (f[:, 0], f)  # noqa: E731
    with_features, without = objectives(family(give, "features", loss)), objectives(family(give, "features"))
    assert torch.equal(with_features["discriminator"].total, without["discriminator"].total)
    term = with_features["generator"].terms["features"]
    assert float(term) > 0
    assert torch.allclose(with_features["generator"].total, without["generator"].total + term)


def test_an_energy_turns_reconstructions_into_one_number_for_each_image() -> None:
    energy = lambda images, found: (images - found).square().mean((1, 2, 3))  # noqa: E731
    loss = genbench.AdversarialLoss(
        lambda real, fake: real.mean() - fake.mean(), lambda fake, real: fake.mean(), boundary=None, energy=energy
    )
    made = family(lambda f: f.view(B, *SHAPE), "reconstructions", loss)
    made.check_networks(images())
    found = objectives(made)
    reconstructions = made.discriminator(images())
    assert float(found["discriminator"].terms["real_energy"]) == pytest.approx(
        float((images() - reconstructions).square().mean().detach())
    )
    assert "accuracy_real" not in found["discriminator"].terms
    with pytest.raises(NetworkError, match=r"\(4, 16\) instead of reconstructions \(4, 1, 4, 4\)"):
        family(lambda f: f, "reconstructions", loss).check_networks(images())
    wrong = genbench.AdversarialLoss(PLAIN.discriminator, PLAIN.generator, energy=lambda a, b: (a - b).square().mean())
    with pytest.raises(SpecError, match=r"`energy` of the loss returned a tensor of shape \(\) for 4 images"):
        family(lambda f: f.view(B, *SHAPE), "reconstructions", wrong).check_networks(images())


def test_losses_and_discriminators_that_do_not_fit_are_refused() -> None:
    energies = genbench.AdversarialLoss(PLAIN.discriminator, PLAIN.generator, energy=lambda a, b: a)
    features = genbench.AdversarialLoss(PLAIN.discriminator, PLAIN.generator, features=lambda a, b: a.mean())
    for loss, kind in ((energies, "reconstructions"), (features, "features")):
        with pytest.raises(SpecError, match=f"discriminator_outputs=\\('{kind}',\\)"):
            family(lambda f: f[:, 0], "logits", loss)
    with pytest.raises(SpecError, match="the loss has no `energy`"):
        family(lambda f: f, "reconstructions")


class Slope(nn.Module):
    """A learned factor of the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(2.0))


def test_parameters_of_a_loss_are_trained_in_the_discriminators_phase_only() -> None:
    slope = Slope()
    loss = genbench.AdversarialLoss(
        lambda real, fake: softplus(-slope.value * real).mean() + softplus(slope.value * fake).mean(),
        lambda fake, real: softplus(-slope.value * fake).mean(),
        module=slope,
    )
    made = family(lambda f: f[:, 0], loss=loss)
    discriminator, generator = made.phases()
    assert discriminator.networks == generator.frozen == ("discriminator", "loss")
    optimizers = make_optimizers(made.setup.networks, made.phases(), resolve_recipe())
    assert slope.value in {p for group in optimizers["discriminator"].param_groups for p in group["params"]}
    batch = genbench.Batch(images(), None, torch.Generator().manual_seed(2), True, {})
    engine = Engine(made.setup.networks, made.phases(), OneBatch(), batch.rng, optimizers)  # type: ignore[arg-type]
    engine.step()
    assert float(slope.value) != 2.0
    assert slope.value.requires_grad


class OneBatch:
    """A source of images that always returns the same."""

    batch_size = B

    def next_batch(self) -> tuple[Tensor, None]:
        return images(), None
