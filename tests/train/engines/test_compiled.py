"""Compiled steps: every built-in model trains as eagerly, only the step is compiled, and what cannot be falls back.

Without a compiler but with all else of torch.compile ('aot_eager') for all models; with one for the three that differ
most.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from built_models import SPECS
from engine_cells import CPU, built, some_data
from torch import Tensor, nn

from genbench.api.training import Batch, Objective, Phase
from genbench.cell.counters import flops_per_image
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.train.engine import Engine
from genbench.train.engines import EngineUnavailable
from genbench.train.engines.compiled import Compiled
from genbench.train.engines.equivalence import check_execution, eager_trajectories
from genbench.train.state import state_kept

QUICK = ("gan", "vae")  # the others are slow


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def prepared(engine: Engine, backend: Any = "aot_eager") -> Compiled:
    with state_kept(engine):
        return Compiled(engine, backend)


def deviating(engine: Engine, execution: Compiled) -> dict[str, tuple[float, float]]:
    check = check_execution(engine, execution, eager_trajectories(engine))
    return {bound.what: (bound.found, bound.tolerance) for bound in check.bounds if bound.found > bound.tolerance}


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SPECS]
)
def test_every_model_trains_like_eager(model: str) -> None:
    engine = built(model).engine
    execution = prepared(engine)
    assert execution.notes == ()
    assert deviating(engine, execution) == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gan", "vae", "dcgan"])
def test_models_train_like_eager_with_a_compiler(model: str) -> None:
    """In bf16; dropout draws the same numbers as in eager mode."""
    engine = built(model, precision="bf16", dropout=0.3).engine
    execution = prepared(engine, "inductor")
    assert execution.notes == ()
    assert deviating(engine, execution) == {}


@pytest.mark.parametrize("loss", ["wgan-gp", "r1"])
def test_penalties_use_uncompiled_networks(loss: str) -> None:
    """Compiled code cannot be differentiated twice; outside the penalty, the discriminator is compiled."""
    engine = built("gan", losses=loss, discriminator_steps=2).engine
    execution = prepared(engine)
    assert execution.notes == ()
    assert deviating(engine, execution) == {}


def test_only_the_step_is_compiled() -> None:
    cell = built("gan")
    engine = cell.engine
    compiled: list[int] = []

    def count(graph: Any, inputs: list[Tensor]) -> Callable[..., Any]:
        compiled.append(len(inputs))
        return graph.forward  # type: ignore[no-any-return]

    engine.execution = prepared(engine, count)
    engine.step()
    before = len(compiled)
    assert before >= 4
    with torch.inference_mode():
        cell.family_for_sampling().sample(5, torch.Generator().manual_seed(0))
    expected = flops_per_image(built("gan").engine)
    assert flops_per_image(engine) == expected  # with an observer, the step is not compiled
    engine.step()
    assert len(compiled) == before
    engine.execution.close()
    assert all("_compiled_call_impl" not in network.__dict__ for network in engine.networks.values())
    assert all(place.current is place.function for place in engine.functions.values())


class Branching(nn.Linear):
    """A layer with data-dependent control flow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


def made_engine(first: nn.Module, gradient_of_gradient: bool = False) -> Engine:
    """Return an engine that fits noise with two networks, one of which is `first`."""
    torch.manual_seed(0)
    networks = {"first": first, "second": nn.Sequential(nn.Tanh(), nn.Linear(4, 1))}

    def objective(batch: Batch) -> Objective:
        points = batch.images.flatten(1)[:, :6].clone().requires_grad_(gradient_of_gradient)
        output = networks["second"](networks["first"](points))
        total = (output - torch.randn(output.shape, generator=batch.rng)).square().mean()
        if gradient_of_gradient:
            (gradient,) = torch.autograd.grad(output.sum(), points, create_graph=True)
            total = total + gradient.square().sum()
        return Objective(total, {})

    data = some_data((1, 8, 8))
    images = ResidentImages(BatchSettings(data.train_pixels, None, 8, (-1, 1), CPU, torch.Generator().manual_seed(1)))
    parameters = [p for network in networks.values() for p in network.parameters()]
    phase = Phase("fit", tuple(networks), objective)
    optimizers: dict[str, torch.optim.Optimizer] = {"fit": torch.optim.Adam(parameters, 1e-3, fused=True)}
    return Engine(networks, [phase], images, torch.Generator().manual_seed(2), optimizers)


def test_data_dependent_control_flow_trains_like_eager() -> None:
    engine = made_engine(Branching(6, 4))
    assert deviating(engine, prepared(engine)) == {}


def test_only_a_network_that_does_not_compile_runs_eagerly() -> None:
    engine = made_engine(nn.Linear(6, 4))

    def refuse_tanh(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        if "tanh" in str(graph.graph).lower():
            raise RuntimeError("error: no such instruction")
        return graph.forward

    execution = prepared(engine, refuse_tanh)
    assert execution.notes == (
        "the network 'second' could not be compiled and runs eagerly: RuntimeError: error: no such instruction",
    )
    assert deviating(engine, execution) == {}
    with execution.compiled_calls():
        compiled = [name for name, network in engine.networks.items() if "_compiled_call_impl" in network.__dict__]
    assert compiled == ["first"]


def test_gradients_of_gradients_run_eagerly() -> None:
    engine = made_engine(nn.Linear(6, 4), gradient_of_gradient=True)
    with pytest.raises(EngineUnavailable, match="double backward"):
        prepared(engine)
    fresh = made_engine(nn.Linear(6, 4), gradient_of_gradient=True)
    engine.step(), fresh.step()
    assert torch.equal(engine.read_terms()["fit"], fresh.read_terms()["fit"])  # the attempt had no side effects


def test_a_missing_compiler_is_reported(tmp_path: Path) -> None:
    """In a separate process, because torch searches for the compiler only once."""
    script = (
        "import torch; from genbench.train.engines.compiled import require_compiler; "
        "require_compiler(torch.device('cpu'))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CXX", "CC")} | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stderr.rstrip().endswith("EngineUnavailable: no C++ compiler was found")
