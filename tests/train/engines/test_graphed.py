"""A replayed step is the eager step, bit for bit: under a simulated capture, in which Python runs only once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from simulated_capture import SimulatedRecorder, capturable_on_cpu
from torch import Tensor, nn

from genbench.exchange import Batch, Objective, Phase
from genbench.execute.building import build_cell
from genbench.execute.loading import LoadedData
from genbench.plan.catalogue import Catalogue, discover
from genbench.plan.matrix import make_plan
from genbench.plan.request import make_request
from genbench.train.engine import Engine, UpdateRules
from genbench.train.engines.graphed import WARM_UP, Graphed, kinds_of_steps
from genbench.train.engines.unavailable import EngineUnavailable
from genbench.train.state import TrainingState, load_state, read_state, state_kept

__all__ = ["capturable_on_cpu"]  # a fixture

CPU = torch.device("cpu")
STEPS = 20
TINY = {
    "gan": ["gan.width=8"],
    "dcgan": ["dcgan.width=4"],
    "dcgan-dense": ["dcgan-dense.width=4"],
    "infogan-28": ["infogan-28.width=8", "infogan-28.hidden=8"],
    "sn-dcgan": ["sn-dcgan.width=4"],
    "resnet-gan": ["resnet-gan.width=4"],
    "cgan": ["cgan.width=8"],
    "cdcgan": ["cdcgan.width=4", "cdcgan.embedding=4"],
    "acgan": ["acgan.width=4"],
    "vae": ["vae.hidden=8"],
    "conv-vae": ["conv-vae.width=4", "conv-vae.hidden=8"],
    "dcgan-vae": ["dcgan-vae.width=4"],
    "cvae": ["cvae.hidden=8"],
    "vq-vae": [
        *("vq-vae.codes=8", "vq-vae.width=8", "vq-vae.residual_width=4", "vq-vae.prior_width=4"),
        "vq-vae.prior_layers=2",
    ],
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def engine_of(catalogue: Catalogue, model: str, *settings: str, **recipe: Any) -> Engine:
    """Return the engine of a tiny cell: 44 images, five batches of eight an epoch and four images over."""
    wanted = {"models": model, "batch_size": 8, "images": 320, **recipe}
    if model == "resnet-gan":  # not for 28 pixels
        wanted["datasets"] = "shapes"
    (cell,) = make_plan(make_request(wanted, [*TINY[model], *settings]), catalogue, "cpu").cells
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (44, *cell.identity.image_shape), dtype=torch.uint8, generator=rng)
    labels = torch.arange(44) % 10
    return build_cell(cell.identity, catalogue, LoadedData(pixels, labels, pixels, labels, 10, "", ()), CPU).engine


def graphed(engine: Engine) -> SimulatedRecorder:
    """Let the engine be executed by a simulated graph."""
    recorder = SimulatedRecorder()
    with state_kept(engine):
        execution = Graphed(engine, recorder=recorder)
    engine.execution = execution
    return recorder


def way(engine: Engine, steps: int = STEPS) -> tuple[dict[str, Tensor], TrainingState]:
    for _ in range(steps):
        engine.step()
    return engine.read_terms(), read_state(engine).copy()


def differing(one: tuple[dict[str, Tensor], TrainingState], other: tuple[dict[str, Tensor], TrainingState]) -> set[str]:
    """Return the names of losses and of tensors of the state that are not the same to the last bit."""
    found = set()
    for mine, theirs in ((one[0], other[0]), (one[1].tensors, other[1].tensors)):
        assert mine.keys() == theirs.keys()
        found |= {name for name in mine if not torch.equal(mine[name], theirs[name])}
    for name in ("step_number", "images_seen", "updates", "data"):
        if one[1].numbers[name] != other[1].numbers[name]:
            found.add(name)
    return found


def compared(make: Callable[[], Engine]) -> set[str]:
    """Return in what twenty replayed steps differ from twenty eager ones."""
    eager = make()
    drawn = torch.get_rng_state()  # the state of the global generator in which both begin
    replayed = make()
    assert torch.equal(drawn, torch.get_rng_state())
    expected = way(eager)
    torch.set_rng_state(drawn)
    recorder = graphed(replayed)
    assert recorder.warm_ups == WARM_UP * len(recorder.calls)
    found = way(replayed)
    assert all(torch.isfinite(series).all() for series in found[0].values())
    return differing(expected, found)


@pytest.mark.parametrize("model", list(TINY))
def test_twenty_replays_are_twenty_steps(catalogue: Catalogue, model: str) -> None:
    """Four epochs: with conditional models labels, with spectral norm its iteration, with a codebook its averages."""
    assert compared(lambda: engine_of(catalogue, model)) == set()


ADVERSARIAL = [
    "minimax",
    "lsgan",
    "hinge",
    "wgan",
    "wgan-gp",
    "dragan",
    "r1",
    "relativistic",
    "rpgan-r1-r2",
    "weighted",
]
VARIATIONAL = ["beta-vae", "beta-tc-vae", "iwae", "wae-mmd", "info-vae"]


@pytest.mark.parametrize("loss", ADVERSARIAL)
def test_penalties_and_clipped_weights_are_replayed(catalogue: Catalogue, loss: str) -> None:
    assert compared(lambda: engine_of(catalogue, "gan", losses=loss)) == set()


@pytest.mark.parametrize("loss", VARIATIONAL)
def test_variational_losses_are_replayed(catalogue: Catalogue, loss: str) -> None:
    """Annealed ones depend on the share of the budget that is consumed."""
    assert compared(lambda: engine_of(catalogue, "vae", losses=loss)) == set()


RECIPES: dict[str, dict[str, Any]] = {
    "several-discriminator-steps": {"discriminator_steps": 3},  # epochs end in the middle of steps
    "more-batches-than-an-epoch": {"discriminator_steps": 7},
    "ema": {"ema_half_life": 100.0},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5},
    "sgd": {"optimizer": "sgd", "momentum": 0.9},
    "clipped": {"clip_gradient": 0.1},
    "orthogonal": {"orthogonal": 1e-3},
    "dropout": {"dropout": 0.3},  # draws from the global generator
    "augmented": {"augment_flip": 0.5, "augment_rotate": 10.0},
    "diffaugment": {"augment_discriminator": "diffaugment"},
    "ada": {"augment_discriminator": "ada", "augment_speed": 500},
    "bf16": {"precision": "bf16"},
    "frozen": {"freeze": ["discriminator.1.*"]},
}


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipes_are_replayed(catalogue: Catalogue, name: str) -> None:
    assert compared(lambda: engine_of(catalogue, "gan", **RECIPES[name])) == set()


@pytest.mark.parametrize("steps", [1, 3])
def test_lazy_penalties_make_two_kinds_of_steps(catalogue: Catalogue, steps: int) -> None:
    def make() -> Engine:
        return engine_of(catalogue, "gan", "r1.penalty_every=3", losses="r1", discriminator_steps=steps)

    kinds = [[player.phase.name for player in due] for due in kinds_of_steps(make().players)]
    assert kinds == [["discriminator", "penalty", "generator"], ["discriminator", "generator"]]
    assert compared(make) == set()


def test_batches_from_the_host_are_copied_to_where_the_graph_reads(catalogue: Catalogue) -> None:
    def make() -> Engine:
        return engine_of(catalogue, "cgan", input=streamed(), discriminator_steps=2, augment_flip=0.5)

    assert compared(make) == set()


def streamed() -> str:
    """Return the input mode in which images come from the host, by whichever name it has."""
    from typing import get_args, get_type_hints

    from genbench.plan.recipe import Recipe

    return next(mode for mode in get_args(get_type_hints(Recipe)["input"]) if mode != "resident")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_learning_rates_follow_the_schedule(catalogue: Catalogue, optimizer: str) -> None:
    """Bit for bit the eager step whose learning rates are rounded to single precision, as fused kernels want them."""

    def make() -> Engine:
        return engine_of(catalogue, "gan", optimizer=optimizer, schedule="cosine", schedule_warmup=80)

    def rounded() -> Engine:
        engine = make()
        schedule = engine.rules.schedule
        assert schedule is not None
        groups = [g for player in engine.players if player.optimizer is not None for g in player.optimizer.param_groups]

        def in_single_precision(images_seen: int) -> None:
            schedule(images_seen)
            for group in groups:
                group["lr"] = float(torch.tensor(group["lr"]))

        engine.rules = UpdateRules(schedule=in_single_precision)
        return engine

    makes = iter([rounded, make])
    assert compared(lambda: next(makes)()) == set()


def test_learning_rates_of_rmsprop_follow_the_schedule(catalogue: Catalogue) -> None:
    """A capturable RMSprop divides by the learning rate first: the last bits differ."""

    def make() -> Engine:
        return engine_of(catalogue, "gan", optimizer="rmsprop", schedule="linear", schedule_warmup=80)

    eager, replayed = make(), make()
    graphed(replayed)
    expected, found = way(eager)[0], way(replayed)[0]
    for name, series in expected.items():
        torch.testing.assert_close(found[name], series, rtol=1e-5, atol=1e-6)


def test_outside_the_capture_optimisers_are_as_they_were_made(
    catalogue: Catalogue, recwarn: pytest.WarningsRecorder
) -> None:
    engine = engine_of(catalogue, "gan", optimizer="rmsprop", schedule="linear")
    optimizers = [player.optimizer for player in engine.players if player.optimizer is not None]
    before = [[{k: v for k, v in group.items() if k != "params"} for group in o.param_groups] for o in optimizers]
    graphed(engine)
    after = [[{k: v for k, v in group.items() if k != "params"} for group in o.param_groups] for o in optimizers]
    assert before == after
    assert not [warning for warning in recwarn if "capturable" in str(warning.message)]


# ----------------------------------------------------------------------------------------------------------------------
# State


def test_a_loaded_state_lands_where_the_graph_reads_it(catalogue: Catalogue) -> None:
    """Ten steps, ten more, back, and the ten once more: the same, in the same memory."""
    engine = engine_of(catalogue, "cdcgan", ema_half_life=100.0, augment_flip=0.5)
    graphed(engine)
    way(engine, 7)  # in the middle of an epoch
    kept = read_state(engine).copy()
    addresses = {name: t.data_ptr() for name, t in read_state(engine).tensors.items() if "rng" not in name}
    first = way(engine, 9)
    load_state(engine, kept)
    second = way(engine, 9)
    assert differing(first, second) == set()
    after = read_state(engine).tensors
    moved = {name for name, address in addresses.items() if after[name].data_ptr() != address}
    assert moved <= {"data.order"}  # which is copied to where the graph reads it


def test_a_resumed_graph_goes_on_as_the_uninterrupted_one(catalogue: Catalogue, tmp_path: Any) -> None:
    from genbench.train.checkpoint import load_checkpoint, save_checkpoint

    first, second = (engine_of(catalogue, "gan", schedule="cosine", dropout=0.2) for _ in range(2))
    graphed(first)
    way(first, 8)
    save_checkpoint(tmp_path / "resume.safetensors", first, {}, {})
    expected = way(first, 12)
    load_checkpoint(tmp_path / "resume.safetensors", second)
    graphed(second)
    assert differing(expected, way(second, 12)) == set()


def test_to_capture_changes_nothing(catalogue: Catalogue) -> None:
    engine = engine_of(catalogue, "dcgan", ema_half_life=100.0)
    way(engine, 3)
    before = read_state(engine).copy()
    graphed(engine)
    after = read_state(engine)
    assert {name for name, tensor in before.tensors.items() if not torch.equal(tensor, after.tensors[name])} == set()
    assert before.numbers == after.numbers


def test_a_graph_and_the_eager_execution_may_take_turns(catalogue: Catalogue) -> None:
    """What one leaves, batches handed out and gradients among it, the other goes on with."""
    from genbench.train.engine import Eager

    eager, turning = (engine_of(catalogue, "gan", optimizer="sgd") for _ in range(2))
    graphed(turning)
    graph = turning.execution
    for step in range(STEPS):
        eager.step()
        turning.execution = graph if step % 3 else Eager()
        turning.step()
        assert turning.gradient_norms() == eager.gradient_norms()
    assert differing((eager.read_terms(), read_state(eager)), (turning.read_terms(), read_state(turning))) == set()


def test_an_observer_sees_an_eager_step(catalogue: Catalogue) -> None:
    from genbench.execute.counting import flops_per_image

    engine = engine_of(catalogue, "gan")
    expected = flops_per_image(engine)
    graphed(engine)
    engine.step()
    assert flops_per_image(engine) == expected


def test_losses_are_read_at_the_end_of_windows_of_any_length(catalogue: Catalogue) -> None:
    eager, replayed = (engine_of(catalogue, "gan", "r1.penalty_every=4", losses="r1") for _ in range(2))
    graphed(replayed)
    for steps in (1, 2, 10, 30):
        expected, found = (way(engine, steps)[0] for engine in (eager, replayed))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], series) for name, series in expected.items())
    assert replayed.read_terms() == {}


def test_gradients_are_those_of_the_last_step_of_whichever_kind(catalogue: Catalogue) -> None:
    eager, replayed = (engine_of(catalogue, "gan", "r1.penalty_every=2", losses="r1") for _ in range(2))
    graphed(replayed)
    for _ in range(5):
        eager.step()
        replayed.step()
        for name, network in eager.networks.items():
            pairs = zip(network.parameters(), replayed.networks[name].parameters(), strict=True)
            for mine, theirs in pairs:
                if mine.grad is None:  # the discriminator's last bias, which a penalty does not depend on
                    assert theirs.grad is None
                else:
                    assert theirs.grad is not None
                    assert torch.equal(mine.grad, theirs.grad)


def test_a_closed_graph_leaves_an_engine_that_goes_on_eagerly(catalogue: Catalogue) -> None:
    from genbench.train.engine import Eager

    eager, closed = (engine_of(catalogue, "gan") for _ in range(2))
    graphed(closed)
    closed.execution.close()
    closed.execution = Eager()
    assert differing(way(eager, 5), way(closed, 5)) == set()


# ----------------------------------------------------------------------------------------------------------------------
# What cannot be captured


def engine_with(objective: Callable[[nn.Linear, Batch], Tensor], every: tuple[int, ...] = (1,)) -> Engine:
    """Return the engine of a layer that learns by this objective, on images of two pixels."""
    from genbench.train.data import ResidentImages

    layer = nn.Linear(2, 1)
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (10, 1, 1, 2), dtype=torch.uint8, generator=rng)
    phases = [
        Phase(f"phase{number}", ("layer",), lambda batch: Objective(objective(layer, batch), {}), every=interval)
        for number, interval in enumerate(every)
    ]
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, fused=True)
    return Engine(
        {"layer": layer},
        phases,
        ResidentImages(pixels, None, 2, (0.0, 1.0), CPU, torch.Generator().manual_seed(2)),
        torch.Generator().manual_seed(3),
        {phase.name: optimizer for phase in phases},
    )


def loss(layer: nn.Linear, batch: Batch) -> Tensor:
    output: Tensor = layer(batch.images.flatten(1))
    return output.square().mean()


def reason(engine: Engine, **recorder: Any) -> str:
    before = read_state(engine).copy()
    with pytest.raises(EngineUnavailable) as refused, state_kept(engine):
        Graphed(engine, recorder=SimulatedRecorder(**recorder))
    after = read_state(engine)
    assert {name for name, tensor in before.tensors.items() if not torch.equal(tensor, after.tensors[name])} == set()
    engine.step()  # goes on eagerly
    assert all(p.grad is not None and p.requires_grad for p in engine.networks["layer"].parameters())
    return str(refused.value)


def test_a_step_that_reads_on_the_host_is_refused_and_the_line_is_named() -> None:
    def reading(layer: nn.Linear, batch: Batch) -> Tensor:
        value = loss(layer, batch)
        return value if value.item() > -1 else -value

    said = reason(engine_with(reading))
    assert "reads a tensor on the host by `.item()` at test_graphed.py:" in said
    assert "torch.where" in said


def test_a_step_whose_sizes_depend_on_values_is_refused() -> None:
    said = reason(engine_with(lambda layer, batch: layer(batch.images.flatten(1)[batch.images[:, 0, 0, 0] >= 0]).sum()))
    assert "selection by a mask" in said


def test_a_generator_that_nobody_knows_of_is_refused() -> None:
    own = torch.Generator()

    def drawing(layer: nn.Linear, batch: Batch) -> Tensor:
        return loss(layer, batch) * torch.rand((), generator=own)

    said = reason(engine_with(drawing))
    assert "a generator that nobody knows of" in said
    assert "batch's generator" in said


@pytest.mark.parametrize("library", ["Python's random", "NumPy"])
def test_random_numbers_of_the_host_are_refused(library: str) -> None:
    import random

    import numpy as np

    def drawing(layer: nn.Linear, batch: Batch) -> Tensor:
        return loss(layer, batch) * (random.random() if library != "NumPy" else float(np.random.rand()))

    assert f"random numbers of {library}" in reason(engine_with(drawing))


def test_memory_that_runs_out_is_said_to_have_run_out() -> None:
    said = reason(engine_with(loss), memory=10)
    assert "out of memory while the step was captured" in said
    assert "batch_size" in said


def test_an_error_of_any_kind_is_passed_on_in_a_line() -> None:
    """The capture alone fails: the step is sound."""

    class Failing(SimulatedRecorder):
        def record(self, function: Any, generators: Any) -> Any:
            raise RuntimeError("no such luck\nand more")

    engine = engine_with(loss)
    with pytest.raises(EngineUnavailable, match=r"^the step cannot be captured \(RuntimeError: no such luck\)"):
        with state_kept(engine):
            Graphed(engine, recorder=Failing())


def test_phases_that_hardly_ever_meet_are_refused() -> None:
    with pytest.raises(EngineUnavailable, match="99,999,999th step"):
        kinds_of_steps(engine_with(loss, every=(9999, 10001)).players)


def test_each_kind_of_step_is_captured_once() -> None:
    engine = engine_with(loss, every=(2, 4, 3))
    recorder = graphed(engine)
    kinds = {tuple(number % interval == 0 for interval in (2, 4, 3)) for number in range(12)}
    assert len(recorder.calls) == len(kinds) == 6
    twin = engine_with(loss, every=(2, 4, 3))
    load_state(twin, read_state(engine).copy())
    assert differing(way(engine, 13), way(twin, 13)) == set()


def test_a_step_that_depends_on_python_shows() -> None:
    """The simulation has teeth: what the host counts inside a step is the same in every replay."""
    count = [0]

    def counting(layer: nn.Linear, batch: Batch) -> Tensor:
        count[0] += 1
        return loss(layer, batch) * count[0]

    engine = engine_with(counting)
    graphed(engine)
    assert count[0] == WARM_UP + 1
    way(engine, 3)
    assert count[0] == WARM_UP + 1


def test_the_inner_execution_is_what_is_captured_and_closed() -> None:
    class Doubling:
        """Executes each step twice."""

        name = "doubling"
        notes = ("a note",)
        closed = False

        def run(self, engine: Engine, due: Any) -> None:
            engine.run_phases(due)
            for player in due:
                player.totals.append(player.totals[-1] * 0 + 2)

        def close(self) -> None:
            self.closed = True

    engine, inner = engine_with(loss), Doubling()
    with state_kept(engine):
        execution = Graphed(engine, inner, SimulatedRecorder())
    engine.execution = execution
    engine.step()
    assert execution.name == "graph+doubling"
    assert execution.notes == ("a note",)
    assert engine.read_terms()["phase0"].tolist()[1] == 2
    execution.close()
    assert inner.closed


def test_another_precision_than_the_captured_one_is_run_and_not_replayed() -> None:
    engine = engine_with(loss)
    graphed(engine)
    twin = copy.deepcopy(engine.networks["layer"])
    engine.precision = "bf16"
    with state_kept(engine):
        engine.step()
        rounded = engine.read_terms()["phase0"]
    engine.precision = "fp32"
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), engine.networks["layer"].parameters(), strict=True))
    engine.step()
    assert not torch.equal(engine.read_terms()["phase0"], rounded)
