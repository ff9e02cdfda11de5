"""Dropout drops hidden activations at the given rate; the orthogonal gradient is that of the published penalty."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from genbench.api.recipe import resolve_recipe
from genbench.api.training import Phase
from genbench.errors import SpecError, UsageError
from genbench.train.regularisation import (
    add_dropout,
    add_orthogonal_gradient,
    orthogonal_penalty,
    require_weights,
)
from genbench.train.update_rules import make_update_rules


class Passes(nn.Module):
    """Passes ones through an activation and records its output."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.output = nn.Tanh()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.activation(inputs)
        return hidden


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.2, inplace=True), nn.ELU(), nn.GELU(), nn.SiLU(), nn.PReLU()],
)
def test_the_given_fraction_is_dropped_and_the_mean_is_kept(activation: nn.Module) -> None:
    network = Passes(activation)
    plain = float(network(torch.ones(1)).detach())
    assert add_dropout({"n": network}, ["n"], 0.25) == 1
    torch.manual_seed(0)
    found = network(torch.ones(40_000))
    assert abs(float((found == 0).float().mean()) - 0.25) < 0.01
    assert found[found != 0].unique().tolist() == pytest.approx([plain / 0.75])
    network.eval()
    assert network(torch.ones(9)).unique().tolist() == pytest.approx([plain])


def test_a_copy_has_dropout_too_and_its_own_mode() -> None:
    network = Passes(nn.ReLU())
    add_dropout({"n": network}, ["n"], 0.5)
    averaged = copy.deepcopy(network).eval()
    assert bool((averaged(torch.ones(100)) == 1).all())
    assert bool((network(torch.ones(100)) == 0).any())
    averaged.train()
    assert bool((averaged(torch.ones(100)) == 0).any())


def test_the_output_is_never_dropped() -> None:
    images = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh())
    ends_in_relu = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    assert add_dropout({"g": images, "h": ends_in_relu}, ["g", "h"], 0.5) == 2
    assert ends_in_relu[1]._forward_hooks
    assert not ends_in_relu[2][1]._forward_hooks  # type: ignore[index]
    assert not images[3]._forward_hooks


def test_only_the_named_networks_are_changed() -> None:
    networks = {"a": Passes(nn.ReLU()), "b": Passes(nn.ReLU())}
    assert add_dropout(networks, ["b"], 0.5) == 1
    assert not networks["a"].activation._forward_hooks
    with pytest.raises(SpecError, match="Did you mean 'generator'"):
        add_dropout({"generator": nn.ReLU()}, ["generater"], 0.5)


def test_a_shared_activation_counts_once() -> None:
    shared = nn.ReLU()
    network = nn.Sequential(nn.Linear(2, 2), shared, nn.Linear(2, 2), shared, nn.Linear(2, 2))
    assert add_dropout({"n": network, "m": Passes(shared)}, ["n", "m"], 0.5) == 1
    assert len(shared._forward_hooks) == 1


@pytest.mark.parametrize("network", [nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.ReLU()])
def test_a_network_without_hidden_activations_is_an_error(network: nn.Module) -> None:
    with pytest.raises(UsageError, match="no hidden activation layers"):
        add_dropout({"n": network}, ["n"], 0.5)


def test_gradients_pass_where_nothing_was_dropped() -> None:
    network = Passes(nn.ReLU(inplace=True))
    add_dropout({"n": network}, ["n"], 0.5)
    weights = torch.ones(50, requires_grad=True)
    found = network(weights * 1)
    found.sum().backward()
    assert torch.equal(weights.grad, found)  # 2 where kept, 0 where dropped


# ----------------------------------------------------------------------------------------------------------------------
# Orthogonal regularisation


def float_of(scalar: Tensor) -> float:
    return float(scalar.detach())


LAYERS = {
    "dense": lambda: nn.Linear(5, 3),
    "convolution": lambda: nn.Conv2d(2, 4, 3),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "transposed": lambda: nn.ConvTranspose2d(3, 5, 4),
    "transposed, grouped": lambda: nn.ConvTranspose2d(4, 6, (2, 3), groups=2),
    "channels_last": lambda: nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
}


@pytest.mark.parametrize("layer", list(LAYERS))
def test_the_gradient_is_autograds(layer: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(LAYERS[layer](), nn.BatchNorm2d(3))
    weight = network[0].weight
    (expected,) = torch.autograd.grad(0.01 * orthogonal_penalty(network), weight)
    weight.grad = torch.ones_like(weight)
    add_orthogonal_gradient(network, 0.01)
    torch.testing.assert_close(weight.grad, 1 + expected)
    assert float(expected.abs().max()) > 0
    assert network[1].weight.grad is None


def test_the_penalty_of_a_matrix_written_out() -> None:
    """Rows (1, 0) and (3, 4) have the inner product 3, which is twice off the diagonal: 2 · 9."""
    dense = nn.Linear(2, 2)
    dense.weight.data = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    assert float_of(orthogonal_penalty(dense)) == 18.0


def test_orthogonal_rows_of_any_length_cost_nothing() -> None:
    dense = nn.Linear(6, 3)
    nn.init.orthogonal_(dense.weight)
    dense.weight.data *= torch.tensor([[1.0], [5.0], [0.1]])
    assert float_of(orthogonal_penalty(dense)) == pytest.approx(0.0, abs=1e-9)


def test_rows_are_outputs_of_a_transposed_convolution_too() -> None:
    """One output: there are no two rows, so nothing to compare, however many inputs there are."""
    assert float_of(orthogonal_penalty(nn.ConvTranspose2d(8, 1, 4))) == 0.0
    assert float_of(orthogonal_penalty(nn.Conv2d(8, 1, 4))) == 0.0
    assert float_of(orthogonal_penalty(nn.ConvTranspose2d(1, 8, 4))) > 0.0


def test_groups_are_blocks_of_one_matrix() -> None:
    """As a dense matrix a grouped convolution is block diagonal, and its penalty is that matrix's."""
    grouped = nn.Conv2d(4, 6, 1, groups=2, bias=False)
    dense = nn.Linear(4, 6)
    dense.weight.data = torch.block_diag(*grouped.weight.detach().reshape(2, 3, 2))
    torch.testing.assert_close(orthogonal_penalty(grouped), orthogonal_penalty(dense))


def test_descending_it_makes_rows_orthogonal() -> None:
    torch.manual_seed(0)
    dense = nn.Linear(8, 4)
    before = float_of(orthogonal_penalty(dense))
    optimizer = torch.optim.SGD(dense.parameters(), 0.1)
    for _ in range(200):
        dense.weight.grad = torch.zeros_like(dense.weight)
        add_orthogonal_gradient(dense, 1.0)
        optimizer.step()
    assert float_of(orthogonal_penalty(dense)) < 1e-4 * before
    assert float(dense.weight.detach().norm(dim=1).min()) > 0.1  # the rows did not just shrink


def test_weights_without_a_gradient_are_unchanged() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[0].weight.grad = torch.zeros(3, 3)
    add_orthogonal_gradient(network, 1.0)
    assert network[1].weight.grad is None


def test_reading_the_weight_does_not_iterate_spectral_norm() -> None:
    layer = parametrizations.spectral_norm(nn.Linear(4, 4))
    vector = layer.parametrizations["weight"][0]._u.clone()  # type: ignore[index, union-attr, operator]
    original = layer.parametrizations["weight"].original  # type: ignore[index, union-attr]
    original.grad = torch.zeros(4, 4)  # type: ignore[union-attr]
    add_orthogonal_gradient(layer, 1.0)
    assert bool(original.grad.any())  # type: ignore[union-attr, operator]
    assert torch.equal(layer.parametrizations["weight"][0]._u, vector)  # type: ignore[index, union-attr, arg-type]
    old_style = nn.utils.spectral_norm(nn.Linear(4, 4))
    old_style.weight_orig.grad = torch.zeros(4, 4)  # type: ignore[union-attr]
    add_orthogonal_gradient(old_style, 1.0)
    assert bool(old_style.weight_orig.grad.any())  # type: ignore[union-attr, operator]


def test_a_shared_weight_counts_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    torch.testing.assert_close(orthogonal_penalty(nn.Sequential(first, second)), orthogonal_penalty(first))


def test_an_orthogonal_matrix_has_no_penalty_and_only_the_named_networks_are_regularised() -> None:
    """Brock et al. 2019, equation 3: the norms of the rows are free, only their inner products count."""
    layer = nn.Linear(5, 5, bias=False)
    nn.init.orthogonal_(layer.weight)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([[1.0], [2.0], [3.0], [0.5], [4.0]]))
    assert float(orthogonal_penalty(layer).detach()) < 1e-9
    networks: dict[str, nn.Module] = {"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}
    rules = make_update_rules(networks, {}, resolve_recipe({"orthogonal": 0.5}), ("a",))
    for network in networks.values():
        network.weight.grad = torch.zeros(3, 3)
    assert rules.add_gradients is not None
    rules.add_gradients(Phase("p", ("a", "b"), len))  # type: ignore[arg-type]
    assert [bool(network.weight.grad.any()) for network in networks.values()] == [True, False]
    with pytest.raises(SpecError, match="applies to 'c', which is not a network"):
        make_update_rules(networks, {}, resolve_recipe(), ("c",))


def test_no_weights_is_an_error() -> None:
    with pytest.raises(UsageError, match="no dense or convolutional layers"):
        orthogonal_penalty(nn.BatchNorm1d(2))
    with pytest.raises(UsageError, match="no dense or convolutional layers"):
        require_weights({"a": nn.ReLU(), "b": nn.BatchNorm1d(2)})
    require_weights({"a": nn.ReLU(), "b": nn.Linear(2, 2)})
