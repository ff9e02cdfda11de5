"""With a simulated capture, in which Python runs only once, a replayed step equals the eager step bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from graphed_engines import TINY, differing, engine_of, graphed, run_steps
from simulated_capture import SimulatedRecorder, capturable_on_cpu, one_thread

from genbench.plugins.catalogue import Catalogue, discover
from genbench.train.engine import Engine, UpdateRules
from genbench.train.engines.compiled import Compiled
from genbench.train.engines.graphed import WARM_UP, Graphed, due_players
from genbench.train.state import state_kept

__all__ = ["capturable_on_cpu", "one_thread"]  # fixtures


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def compared(make: Callable[[], Engine]) -> set[str]:
    """Return the names of what differs between twenty replayed and twenty eager steps."""
    eager = make()
    drawn = torch.get_rng_state()  # the initial state of the global generator for both
    replayed = make()
    assert torch.equal(drawn, torch.get_rng_state())
    expected = run_steps(eager)
    torch.set_rng_state(drawn)
    recorder = graphed(replayed)
    assert recorder.warm_ups == WARM_UP * len(recorder.calls)
    found = run_steps(replayed)
    assert all(torch.isfinite(series).all() for series in found[0].values())
    return differing(expected, found)


@pytest.mark.parametrize("model", list(TINY))
def test_twenty_replays_equal_twenty_steps(catalogue: Catalogue, model: str) -> None:
    """Four epochs; includes labels, the power iteration of spectral norm, and the averages of a codebook."""
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
    """Annealed losses depend on the consumed share of the budget."""
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
def test_lazy_penalties_make_two_due_players(catalogue: Catalogue, steps: int) -> None:
    def make() -> Engine:
        return engine_of(catalogue, "gan", "r1.penalty_every=3", losses="r1", discriminator_steps=steps)

    kinds = [[player.phase.name for player in due] for due in due_players(make().players)]
    assert kinds == [["discriminator", "penalty", "generator"], ["discriminator", "generator"]]
    assert compared(make) == set()


def test_batches_from_the_host_are_copied_to_the_memory_of_the_graph(catalogue: Catalogue) -> None:
    def make() -> Engine:
        return engine_of(catalogue, "cgan", input=streamed(), discriminator_steps=2, augment_flip=0.5)

    assert compared(make) == set()


def streamed() -> str:
    """Return the name of the input mode in which images come from the host."""
    from typing import get_args, get_type_hints

    from genbench.api.recipe import Recipe

    return next(mode for mode in get_args(get_type_hints(Recipe)["input"]) if mode != "resident")


@pytest.mark.slow
def test_compiled_networks_are_captured(catalogue: Catalogue) -> None:
    """With the backend that needs no compiler, compiled networks give the same results replayed as run."""
    compiled, replayed = (engine_of(catalogue, "vae") for _ in range(2))
    with state_kept(compiled):
        compiled.execution = Compiled(compiled, "aot_eager")
    with state_kept(replayed):
        replayed.execution = Graphed(replayed, Compiled(replayed, "aot_eager"), SimulatedRecorder())
    assert replayed.execution.name == "graph+compile"
    assert differing(run_steps(compiled), run_steps(replayed)) == set()
    replayed.execution.close()
    compiled.execution.close()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_learning_rates_follow_the_schedule(catalogue: Catalogue, optimizer: str) -> None:
    """Equal bit for bit to eager steps with learning rates in single precision, as fused kernels require."""

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
    expected, found = run_steps(eager)[0], run_steps(replayed)[0]
    for name, series in expected.items():
        torch.testing.assert_close(found[name], series, rtol=1e-5, atol=1e-6)


def test_outside_the_capture_optimisers_are_unchanged(catalogue: Catalogue, recwarn: pytest.WarningsRecorder) -> None:
    engine = engine_of(catalogue, "gan", optimizer="rmsprop", schedule="linear")
    optimizers = [player.optimizer for player in engine.players if player.optimizer is not None]
    before = [[{k: v for k, v in group.items() if k != "params"} for group in o.param_groups] for o in optimizers]
    graphed(engine)
    after = [[{k: v for k, v in group.items() if k != "params"} for group in o.param_groups] for o in optimizers]
    assert before == after
    assert not [warning for warning in recwarn if "capturable" in str(warning.message)]
