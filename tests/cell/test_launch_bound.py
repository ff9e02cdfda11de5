"""The launch-bound fraction of a step is the fraction of its time that a replay saves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from genbench.api.training import Objective, Phase
from genbench.cell.launch_bound import launch_bound_fraction
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.train.engine import Engine, EngineUnavailable, Execution
from genbench.train.player import Player
from genbench.train.state import read_state

CPU = torch.device("cpu")


def engine() -> Engine:
    layer = torch.nn.Linear(1, 1)
    pixels = torch.zeros(4, 1, 1, 1, dtype=torch.uint8)
    return Engine(
        {"layer": layer},
        [Phase("phase", ("layer",), lambda batch: Objective(layer(batch.images.flatten(1)).square().mean(), {}))],
        ResidentImages(BatchSettings(pixels, None, 2, (0.0, 1.0), CPU, torch.Generator())),
        torch.Generator(),
        {"phase": torch.optim.SGD(layer.parameters(), lr=0.1)},
    )


class Replaying(Execution):
    """A substitute for a graph."""

    name = "graph"
    closed = False

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        engine.run_phases(due)

    def close(self) -> None:
        self.closed = True


def lasting(engine: Engine, eager: float, replayed: float) -> Callable[..., tuple[int, float]]:
    """Return windows with these step times, every third window ten times as long."""
    windows = [0]

    def window(step: Callable[[], None], steps: int, device: torch.device) -> tuple[int, float]:
        step()
        windows[0] += 1
        seconds = eager if engine.execution.name == "eager" else replayed
        return steps, steps * seconds * (10 if windows[0] % 3 == 0 else 1)

    return window


@pytest.mark.parametrize(("eager", "replayed", "share"), [(4.0, 1.0, 0.75), (1.0, 1.0, 0.0), (1.0, 1.5, 0.0)])
def test_it_is_the_fraction_that_a_replay_saves(eager: float, replayed: float, share: float) -> None:
    trained, graph = engine(), Replaying()
    before, execution = read_state(trained).copy(), trained.execution
    found = launch_bound_fraction(trained, CPU, lasting(trained, eager, replayed), lambda _: graph)
    assert found == pytest.approx(share)
    assert graph.closed
    assert trained.execution is execution
    after = read_state(trained)
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    assert trained.read_terms() == {}


def test_it_is_unknown_if_nothing_can_be_captured() -> None:
    def refuse(_: Engine) -> Replaying:
        raise EngineUnavailable("no such luck")

    assert launch_bound_fraction(engine(), CPU) is None  # no GPU
    assert launch_bound_fraction(engine(), CPU, open_graph=refuse) is None
