"""Optimisers make the textbook update; a lazy regulariser shares one, with the published correction."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genbench.api.recipe import resolve_recipe
from genbench.api.training import Batch, Objective, Phase
from genbench.errors import SpecError, UsageError
from genbench.train.optimizers import make_optimizers


def no_objective(batch: Batch) -> Objective:
    raise NotImplementedError


def phase(name: str, *networks: str, **rest: Any) -> Phase:
    return Phase(name, networks or (name,), no_objective, **rest)


def two_networks() -> dict[str, nn.Module]:
    return {"generator": nn.Linear(2, 3), "discriminator": nn.Linear(3, 1)}


PLAYERS = (phase("discriminator"), phase("generator"))


def one_step(values: Tensor, gradients: list[Tensor], **recipe: Any) -> Tensor:
    network = nn.Linear(1, 1)
    network.weight = nn.Parameter(values.clone())
    network.bias = None  # type: ignore[assignment]
    optimizer = make_optimizers({"n": network}, [phase("p", "n")], resolve_recipe(recipe))["p"]
    for gradient in gradients:
        network.weight.grad = gradient.clone()
        optimizer.step()
    return network.weight.detach()


W = torch.tensor([[1.0, -2.0, 0.5]])
G = torch.tensor([[0.3, -0.1, 2.0]])


def test_adams_first_step_is_the_learning_rate_along_the_sign() -> None:
    found = one_step(W, [G], optimizer="adam", learning_rate=0.01)
    torch.testing.assert_close(found, W - 0.01 * G.sign(), rtol=0, atol=1e-6)


def test_adamw_decays_independently_of_the_gradient_and_adam_does_not() -> None:
    decoupled = one_step(W, [G], optimizer="adamw", learning_rate=0.01, weight_decay=0.1)
    torch.testing.assert_close(decoupled, W * (1 - 0.01 * 0.1) - 0.01 * G.sign(), rtol=0, atol=1e-6)
    coupled = one_step(W, [0 * G], optimizer="adam", learning_rate=0.01, weight_decay=0.1)
    torch.testing.assert_close(coupled, W - 0.01 * W.sign(), rtol=0, atol=1e-6)


def test_adamw_without_decay_is_adam() -> None:
    assert torch.equal(one_step(W, [G, -G], optimizer="adamw"), one_step(W, [G, -G], optimizer="adam"))


def test_sgd_with_momentum_and_decay() -> None:
    found = one_step(W, [G, G], optimizer="sgd", learning_rate=0.1, momentum=0.5)
    torch.testing.assert_close(found, W - 0.1 * G - 0.1 * 1.5 * G)
    found = one_step(W, [G], optimizer="sgd", learning_rate=0.1, weight_decay=0.2)
    torch.testing.assert_close(found, W - 0.1 * (G + 0.2 * W))


def test_rmsprops_first_step() -> None:
    """With decay a = 0.99 of the squares the first step is lr·g / sqrt((1 - a) g²) = 10·lr·sign(g)."""
    found = one_step(W, [G], optimizer="rmsprop", learning_rate=0.01)
    torch.testing.assert_close(found, W - 0.1 * G.sign(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_the_fast_implementation_is_used(name: str) -> None:
    group = make_optimizers(two_networks(), PLAYERS, resolve_recipe({"optimizer": name}))["generator"].param_groups[0]
    assert group["foreach" if name == "rmsprop" else "fused"]


def test_every_player_has_its_own_optimiser_and_rate() -> None:
    recipe = {"learning_rate": 1e-4, "discriminator_learning_rate": 4e-4, "beta1": 0.0, "beta2": 0.9}
    made = make_optimizers(two_networks(), PLAYERS, resolve_recipe(recipe))
    assert made["discriminator"] is not made["generator"]
    assert made["discriminator"].param_groups[0]["lr"] == 4e-4
    assert made["generator"].param_groups[0]["lr"] == 1e-4
    assert made["generator"].param_groups[0]["betas"] == (0.0, 0.9)


def test_a_learning_rate_of_zero_is_used() -> None:
    made = make_optimizers(two_networks(), PLAYERS, resolve_recipe({"discriminator_learning_rate": 0.0}))
    assert made["discriminator"].param_groups[0]["lr"] == 0.0


@pytest.mark.parametrize("every", [1, 4, 16])
def test_a_lazy_regulariser_shares_the_optimiser_corrected_by_k_over_k_plus_1(every: int) -> None:
    phases = (*PLAYERS, phase("penalty", "discriminator", every=every, optimizer="discriminator"))
    made = make_optimizers(two_networks(), phases, resolve_recipe({"learning_rate": 1e-3, "beta1": 0.5, "beta2": 0.99}))
    assert made["penalty"] is made["discriminator"]
    shared, own = made["discriminator"].param_groups[0], made["generator"].param_groups[0]
    c = every / (every + 1)
    assert shared["lr"] == pytest.approx(1e-3 * c)
    assert shared["betas"] == pytest.approx((0.5**c, 0.99**c))
    assert (own["lr"], own["betas"]) == (1e-3, (0.5, 0.99))


def test_the_correction_counts_updates_of_both() -> None:
    """Five discriminator updates per step and a penalty in every second one: 10 of 11 updates are its own."""
    phases = (phase("discriminator", repeats=5), phase("penalty", "discriminator", every=2, optimizer="discriminator"))
    made = make_optimizers(two_networks(), phases, resolve_recipe({"learning_rate": 1.0}))
    assert made["penalty"].param_groups[0]["lr"] == pytest.approx(10 / 11)


def test_frozen_parameters_are_left_out_and_a_frozen_player_has_no_optimiser() -> None:
    networks = two_networks()
    weight = networks["generator"].get_parameter("weight").requires_grad_(False)
    networks["discriminator"].requires_grad_(False)
    phases = (*PLAYERS, phase("penalty", "discriminator", every=4, optimizer="discriminator"))
    made = make_optimizers(networks, phases, resolve_recipe({}))
    assert set(made) == {"generator"}
    assert all(p is not weight for p in made["generator"].param_groups[0]["params"])


def test_weights_that_two_networks_share_are_updated_once() -> None:
    shared = nn.Linear(2, 2)
    made = make_optimizers({"a": shared, "b": nn.Sequential(shared)}, [phase("p", "a", "b")], resolve_recipe({}))
    assert len(made["p"].param_groups[0]["params"]) == 2


@pytest.mark.parametrize("target", ["discriminators", "penalty", "other"])
def test_sharing_a_missing_optimiser_is_rejected(target: str) -> None:
    phases = (
        *PLAYERS,
        phase("penalty", "discriminator", optimizer=target),
        phase("other", "discriminator", optimizer="discriminator"),
    )
    with pytest.raises(SpecError, match=f"shares the optimiser of '{target}'"):
        make_optimizers(two_networks(), phases, resolve_recipe({}))


def test_a_misspelt_optimiser_gets_a_suggestion() -> None:
    phases = (*PLAYERS, phase("penalty", "discriminator", optimizer="discriminater"))
    with pytest.raises(SpecError, match="Did you mean 'discriminator'"):
        make_optimizers(two_networks(), phases, resolve_recipe({}))


def test_sharing_an_optimiser_of_other_networks_is_rejected() -> None:
    phases = (*PLAYERS, phase("penalty", "generator", optimizer="discriminator"))
    with pytest.raises(SpecError, match="trains generator with the optimiser of 'discriminator'"):
        make_optimizers(two_networks(), phases, resolve_recipe({}))


@pytest.mark.parametrize("name", ["beta1", "beta2"])
def test_a_beta_of_one_is_rejected(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} = 1 would ignore.*\n.*less than 1"):
        make_optimizers(two_networks(), PLAYERS, resolve_recipe({name: 1.0}))
    make_optimizers(two_networks(), PLAYERS, resolve_recipe({name: 1.0, "optimizer": "sgd"}))


def test_a_phase_may_override_settings_without_affecting_the_others() -> None:
    own = {"beta1": 0.5, "learning_rate": 1e-5}
    phases = [phase("generator"), phase("discriminator", recipe=own)]
    recipe = {"learning_rate": 1e-4, "discriminator_learning_rate": 4e-4, "beta1": 0.9, "beta2": 0.999}
    made = make_optimizers(two_networks(), phases, resolve_recipe(recipe))
    assert [made[name].defaults["lr"] for name in made] == [1e-4, 1e-5]
    assert [made[name].defaults["betas"] for name in made] == [(0.9, 0.999), (0.5, 0.999)]


def test_invalid_overrides_of_a_phase_are_rejected() -> None:
    with pytest.raises(SpecError, match=r"'batch_size', which is not an optimiser setting"):
        make_optimizers(two_networks(), [phase("one", "generator", recipe={"batch_size": 1})], resolve_recipe({}))
    with pytest.raises(UsageError, match="beta1"):
        make_optimizers(two_networks(), [phase("one", "generator", recipe={"beta1": 7.0})], resolve_recipe({}))
    shared = [phase("one", "generator"), phase("lazy", "generator", optimizer="one", recipe={"beta1": 0.1})]
    with pytest.raises(SpecError, match="shares the optimiser of 'one', but overrides beta1"):
        make_optimizers(two_networks(), shared, resolve_recipe({}))
