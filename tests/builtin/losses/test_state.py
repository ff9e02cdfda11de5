"""Losses with state: LeCam in closed form, and state that survives whatever happens between two steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_cells import CATALOGUE, CPU, built
from graphed_engines import TINY, differing, engine_of, graphed, run_steps
from simulated_capture import capturable_on_cpu, one_thread  # noqa: F401
from torch import Tensor, nn

from genbench.api.options import resolve_options
from genbench.api.recipe import resolve_recipe
from genbench.api.specs import LossSpec, resolve
from genbench.api.training import AdversarialLoss, Objective, Phase
from genbench.builtin.losses.adversarial import specs
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.errors import GenbenchError, SpecError
from genbench.train.checkpoint import load_checkpoint, save_checkpoint
from genbench.train.engine import Engine
from genbench.train.engines.compiled import Compiled
from genbench.train.engines.equivalence import check_execution, eager_trajectories
from genbench.train.exchanges import create_loss
from genbench.train.network_checks import loss_module
from genbench.train.optimizers import make_optimizers
from genbench.train.state import state_kept

SPEC = next(spec for spec in specs() if spec.name == "lecam")
GANS = [entry.spec.name for entry in CATALOGUE.models.values() if entry.spec.family == "adversarial"]
LOGIT_GANS = [name for name in GANS if name != "began"]


def lecam(**options: Any) -> AdversarialLoss:
    loss: AdversarialLoss = resolve(SPEC.create)(
        SPEC.make_options(resolve_options(SPEC.option_schema, options, "lecam"))
    )
    return loss


def evaluate(loss: AdversarialLoss, real: list[float], fake: list[float]) -> Objective:
    found = loss.discriminator((torch.tensor(real),), (torch.tensor(fake),))
    assert isinstance(found, Objective)
    return found


def test_the_regularisation_is_the_squared_distance_to_the_average_of_the_other_kind() -> None:
    """Hinge of logits beyond the margins is 0. Averages: α_R = 4 and α_F = -2 at first; half of both at the second."""
    loss = lecam(game="hinge", weight=0.5, decay=0.5)
    first = evaluate(loss, [3.0, 5.0], [-3.0, -1.0])
    assert float(first.terms["lecam"]) == (25 + 49) / 2 + (49 + 25) / 2
    assert float(first.total) == 0.5 * 74
    second = evaluate(loss, [2.0], [-4.0])  # α_R = 3, α_F = -3
    assert float(second.terms["lecam"]) == 25 + 49


def test_the_averages_are_constants_of_the_gradient() -> None:
    real, fake = torch.tensor([3.0], requires_grad=True), torch.tensor([-2.0], requires_grad=True)
    found = lecam(game="hinge", weight=1.0).discriminator((real,), (fake,))
    assert isinstance(found, Objective)
    assert [float(g) for g in torch.autograd.grad(found.total, (real, fake))] == [2 * 5, -2 * 5]


def test_it_starts_after_the_given_number_of_updates_while_the_averages_are_kept_from_the_first() -> None:
    loss = lecam(game="hinge", start=2, decay=0.5)
    totals = [float(evaluate(loss, [4.0], [-4.0]).total) for _ in range(3)]
    assert totals[:2] == [0, 0]
    assert totals[2] == pytest.approx(0.3 * 2 * 64)
    assert loss.module is not None
    assert math.isclose(float(loss.module.state_dict()["real"][0]), 4)


def test_each_scale_has_averages_of_its_own_and_both_count_as_one_update() -> None:
    """Logits of 3 and -1 in one scale, of 30 and -10 in the other: each distance is 4², or 40², twice."""
    loss = lecam(game="hinge", weight=0.5, decay=0.5)
    for _ in range(2):
        found = loss.discriminator(
            (torch.tensor([3.0]), torch.tensor([30.0])), (torch.tensor([-1.0]), torch.tensor([-10.0]))
        )
        assert isinstance(found, Objective)
        assert float(found.terms["lecam"]) == 2 * 4**2 + 2 * 40**2
    assert loss.module is not None
    state = loss.module.state_dict()
    assert (int(state["updates"]), state["real"][:3].tolist()) == (2, [3, 30, 0])
    assert float(loss.generator((torch.tensor([2.0]), torch.tensor([5.0])), None)) == -7
    many = [torch.zeros(1)] * 9
    with pytest.raises(GenbenchError, match="averages of 8 scales, but the discriminator has 9"):
        loss.discriminator(many, many)


def cell(model: str, **recipe: Any) -> Engine:
    return built(model, losses="began" if model == "began" else "lecam", discriminator_steps=1, **recipe).engine


def tensors(engine: Engine) -> dict[str, Tensor]:
    return {f"{n}.{k}": v for n, network in engine.networks.items() for k, v in network.state_dict().items()}


def moved(engine: Engine) -> bool:
    """Return whether the state of the loss is not what it starts with."""
    return any(bool(value.any()) for value in engine.networks["loss"].state_dict().values())


@pytest.mark.parametrize(
    "model", ["gan", *(pytest.param(name, marks=pytest.mark.slow) for name in GANS if name != "gan")]
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_adversarial_model_resumes_to_the_bit(model: str, precision: str, tmp_path: Path) -> None:
    uninterrupted, resumed = (cell(model, precision=precision) for _ in range(2))
    for _ in range(3):
        uninterrupted.step()
    assert moved(uninterrupted)
    save_checkpoint(tmp_path / "c", uninterrupted, {}, {})
    load_checkpoint(tmp_path / "c", resumed)
    for engine in (uninterrupted, resumed):
        for _ in range(3):
            engine.step()
    expected = tensors(uninterrupted)
    assert {name for name, value in tensors(resumed).items() if not torch.equal(value, expected[name])} == set()
    assert all(bool(value.isfinite().all()) for value in expected.values())


def test_steps_that_are_tried_out_leave_the_state_unchanged() -> None:
    engine = cell("gan")
    engine.step()
    before = {name: value.clone() for name, value in tensors(engine).items()}
    with state_kept(engine):
        for _ in range(3):
            engine.step()
        assert not torch.equal(before["loss.real"], tensors(engine)["loss.real"])
    assert all(torch.equal(value, before[name]) for name, value in tensors(engine).items())


@pytest.mark.parametrize("loss", ["lecam", "began"])
def test_a_replayed_step_moves_the_state_as_an_eager_one(loss: str) -> None:
    model = "began" if loss == "began" else "gan"
    eager, replayed = (engine_of(CATALOGUE, model, losses=loss) for _ in range(2))
    graphed(replayed)
    one, other = run_steps(eager, 6), run_steps(replayed, 6)
    assert moved(eager)
    assert differing(one, other) == set()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gan", "began"])
def test_a_compiled_step_trains_as_an_eager_one(model: str) -> None:
    engine = cell(model)
    with state_kept(engine):
        execution = Compiled(engine, backend="aot_eager")
    assert not execution.notes
    check = check_execution(engine, execution, eager_trajectories(engine))
    assert [bound.what for bound in check.bounds if bound.found > bound.tolerance] == []


class Count(nn.Module):
    """A loss with state of a family of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, total: Tensor) -> Objective:
        self.calls.add_(1)
        return Objective(total, {"calls": self.calls, "clone": self.calls.clone()})


class Holder:
    """A loss that is no module, but has one."""

    def __init__(self, module: object) -> None:
        self.module = module


def test_the_module_of_a_loss_is_the_loss_itself_or_its_attribute() -> None:
    count = Count()
    assert loss_module(count) is count
    assert loss_module(Holder(count)) is count
    assert loss_module(lecam()) is not None
    without_state: list[object] = [nn.MSELoss(), Holder("text"), len, None]
    assert [loss_module(loss) for loss in without_state] == [None] * 4
    wrong = lambda options: AdversarialLoss(evaluate, evaluate, module={})  # type: ignore[arg-type]  # noqa: E731
    with pytest.raises(SpecError, match=r"(?s)Loss 'mine': .* set module to .*must be a torch\.nn\.Module"):
        create_loss(LossSpec(name="mine", family="adversarial", create=wrong), {})


def test_a_curve_of_a_buffer_shows_its_value_in_each_step_and_not_the_last_one() -> None:
    count, layer = Count(), nn.Linear(1, 1)
    images = torch.zeros(2, 1, 1, 1, dtype=torch.uint8)
    data = ResidentImages(BatchSettings(images, None, 2, (0.0, 1.0), CPU, torch.Generator().manual_seed(2)))
    phase = Phase("p", ("layer",), lambda batch: count(layer(batch.images.flatten(1)).mean()))
    networks: dict[str, nn.Module] = {"layer": layer, "loss": count}
    optimizers = make_optimizers(networks, [phase], resolve_recipe())
    engine = Engine(networks, [phase], data, torch.Generator(), optimizers)
    for _ in range(3):
        engine.step()
    terms = engine.read_terms()
    assert terms["p.calls"].tolist() == terms["p.clone"].tolist() == [1, 2, 3]


def test_the_tiny_sizes_cover_every_adversarial_model() -> None:
    assert {*GANS} <= {*TINY}
