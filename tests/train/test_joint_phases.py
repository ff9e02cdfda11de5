"""Phases that share a forward pass: gradients kept apart, one pass counted, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from graphed_engines import differing, graphed, run_steps
from simulated_capture import capturable_on_cpu, one_thread  # noqa: F401
from torch import Tensor, nn

from genbench.api.recipe import resolve_recipe
from genbench.api.training import Batch, Objective, Phase
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.errors import SpecError
from genbench.measure.op_counts import OpCounter
from genbench.measure.op_listener import OpListener
from genbench.train.engine import Engine, UpdateRules
from genbench.train.engines.compiled import Compiled
from genbench.train.optimizers import make_optimizers
from genbench.train.player import check_joint_phases
from genbench.train.state import read_state, state_kept

CPU = torch.device("cpu")


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"first": nn.Linear(2, 3), "second": nn.Linear(3, 4), "third": nn.Linear(4, 1)}


class Chain:
    """Three networks in a row, each with an objective of its own on the output of the last."""

    def __init__(self, made: dict[str, nn.Module], joint: str) -> None:
        self.networks, self.joint = made, joint

    def output(self, batch: Batch) -> Tensor:
        if "output" not in batch.shared or not self.joint:
            noise = torch.randn(len(batch.images), 2, generator=batch.rng)
            values = batch.images.flatten(1) + noise
            for network in self.networks.values():
                values = network(values).tanh()
            batch.shared["output"] = values
        output: Tensor = batch.shared["output"]
        return output

    def phases(self) -> list[Phase]:
        objectives: dict[str, Callable[[Tensor], Tensor]] = {
            "first": lambda output: output.square().mean(),
            "second": lambda output: (output - 1).square().mean(),
            "third": lambda output: 3 * output.mean(),
        }

        def phase(name: str) -> Phase:
            def objective(batch: Batch) -> Objective:
                total = objectives[name](self.output(batch))
                return Objective(total, {"twice": 2 * total})

            return Phase(name, (name,), objective, joint=self.joint)

        return [phase(name) for name in objectives]


def engine(joint: str = "all", precision: str = "fp32", rules: UpdateRules | None = None, **recipe: Any) -> Engine:
    made = networks()
    phases = Chain(made, joint).phases()
    pixels = torch.randint(0, 256, (10, 1, 1, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    data = ResidentImages(BatchSettings(pixels, None, 4, (0.0, 1.0), CPU, torch.Generator().manual_seed(2)))
    chosen = resolve_recipe({"optimizer": "sgd", "learning_rate": 0.1, **recipe})
    optimizers = make_optimizers(made, phases, chosen)
    return Engine(made, phases, data, torch.Generator().manual_seed(3), optimizers, precision, rules=rules)


def gradient_of_each(separate: Engine) -> dict[str, list[Tensor]]:
    """Return the gradients of separate passes with the same images, noise and weights, without an update."""
    images, labels = separate.data.next_batch()
    state = separate.rng.get_state()
    found = {}
    for player in separate.players:
        separate.rng.set_state(state)
        total = player.phase.objective(Batch(images, labels, separate.rng, True, {})).total
        found[player.phase.name] = list(torch.autograd.grad(total, player.parameters))
    return found


def test_each_phase_gets_the_gradient_of_its_own_objective_before_any_network_changes() -> None:
    expected = gradient_of_each(engine(""))
    trained = engine()
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in trained.networks.items()}
    trained.step()
    for name, network in trained.networks.items():
        for parameter, start, gradient in zip(network.parameters(), before[name], expected[name], strict=True):
            assert torch.allclose(parameter.grad, gradient, rtol=1e-5, atol=1e-7)
            assert torch.allclose(parameter.detach(), start - 0.1 * gradient, rtol=1e-5, atol=1e-7)
    terms = trained.read_terms()
    assert torch.equal(terms["second.twice"], 2 * terms["second"])


def test_clipping_applies_to_each_phase_alone() -> None:
    expected = gradient_of_each(engine(""))
    trained = engine(rules=UpdateRules(clip_gradient=0.01))
    trained.step()
    for name, gradients in expected.items():
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        found = torch.cat([p.grad.flatten() for p in trained.networks[name].parameters() if p.grad is not None]).norm()
        assert float(found) == pytest.approx(min(0.01, float(norm)), rel=1e-3)


def flops(counted: Engine) -> int:
    counted.step()
    operators = OpCounter()
    with OpListener(operators.operation):
        counted.step()
    return operators.flops


def test_one_pass_costs_a_forward_pass_and_the_paths_back_to_each_network() -> None:
    """Layers of 6, 12 and 4 weights, four images; a product of matrices takes 2 operations for each weight and image.

    Forward 22; weight gradients 22; back through the third and second layer for the first phase, 16, and through the
    third for the second, 4. Three separate passes go forward three times, and each computes the weight gradients of
    every layer that it crosses.
    """
    assert flops(engine()) == 2 * 4 * (22 + 22 + 16 + 4)
    assert flops(engine("")) == 2 * 4 * 3 * (22 + 22 + 16)


def test_a_replayed_step_trains_as_an_eager_one() -> None:
    eager, replayed = engine(optimizer="adam"), engine(optimizer="adam")
    graphed(replayed)
    assert differing(run_steps(eager, 6), run_steps(replayed, 6)) == set()


@pytest.mark.slow
def test_a_compiled_step_trains_as_an_eager_one() -> None:
    eager, compiled = engine(), engine()
    with state_kept(compiled):
        execution = Compiled(compiled, backend="aot_eager")
    assert not execution.notes
    compiled.execution = execution
    for _ in range(3):
        eager.step()
        compiled.step()
    expected = read_state(eager).tensors
    for name, tensor in read_state(compiled).tensors.items():
        if name.startswith("network."):
            assert torch.allclose(tensor, expected[name], rtol=1e-5, atol=1e-6), name


def test_bf16_trains_every_phase() -> None:
    trained = engine(precision="bf16")
    trained.step()
    assert all(p.grad is not None and bool(p.grad.any()) for n in trained.networks.values() for p in n.parameters())


def test_frozen_parameters_get_no_gradient() -> None:
    trained = engine()
    made = trained.networks
    made["second"].requires_grad_(False)
    phases = [player.phase for player in trained.players]
    optimizers = make_optimizers(made, phases, resolve_recipe({"optimizer": "sgd"}))
    partly = Engine(made, phases, trained.data, trained.rng, optimizers)
    partly.step()
    assert all(p.grad is None for p in made["second"].parameters())
    assert all(p.grad is not None for p in made["first"].parameters())


def total(batch: Batch) -> Objective:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("phases", "text"),
    [
        ([Phase("a", ("first",), total, joint="x", repeats=2)], "'a' has repeats = 2"),
        (
            [Phase("a", ("first",), total, joint="x"), Phase("b", ("second",), total, joint="x", every=2)],
            "'a' has every = 1, 'b' has every = 2",
        ),
        ([Phase("a", ("first",), total, joint="x", frozen=("second",))], "'a' freezes second"),
        (
            [Phase("a", ("first",), total, joint="x"), Phase("b", ("second", "first"), total, joint="x")],
            "'a' and 'b' both train first.weight",
        ),
        (
            [
                Phase("a", ("first",), total, joint="x"),
                Phase("b", ("second",), total),
                Phase("c", ("third",), total, joint="x"),
            ],
            "another phase is between them",
        ),
    ],
)
def test_phases_that_cannot_share_a_pass_are_refused(phases: Sequence[Phase], text: str) -> None:
    with pytest.raises(SpecError, match=text) as error:
        check_joint_phases(phases, networks(), "mine")
    assert "The joint phases 'x' of the family 'mine'" in str(error.value)
