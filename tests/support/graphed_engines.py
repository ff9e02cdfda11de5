"""Tiny engines whose steps are replayed by a simulated capture, for the tests of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from simulated_capture import SimulatedRecorder
from torch import Tensor, nn

from genbench.api.training import Batch, Objective, Phase
from genbench.data.loading import LoadedData
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue
from genbench.train.builder import build_cell
from genbench.train.engine import Engine
from genbench.train.engines.graphed import Graphed, due_players
from genbench.train.state import TrainingState, read_state, state_kept

CPU = torch.device("cpu")
STEPS = 20
TINY = {
    "gan": ["gan.width=8"],
    "dcgan": ["dcgan.width=4"],
    "dcgan-dense": ["dcgan-dense.width=4"],
    "infogan-28": ["infogan-28.width=8", "infogan-28.hidden=8"],
    "sn-dcgan": ["sn-dcgan.width=4"],
    "resnet-gan": ["resnet-gan.width=4"],
    "began": ["began.width=4", "began.latent_dim=8"],
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


def engine_of(catalogue: Catalogue, model: str, *settings: str, **recipe: Any) -> Engine:
    """Return the engine of a tiny cell: 44 images, which are five batches of eight per epoch and four left over."""
    wanted = {"models": model, "batch_size": 8, "images": 320, **recipe}
    if model == "resnet-gan":  # does not support 28 pixels
        wanted |= {
            "datasets": "synthetic",
            "set": {"synthetic": {"size": 32}},
            "discriminator_steps": 1,
            "batch_size": 4,
        }
    (cell,) = make_plan(make_request(wanted, [*TINY[model], *settings]), catalogue, "cpu").cells
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (44, *cell.identity.image_shape), dtype=torch.uint8, generator=rng)
    labels = torch.arange(44) % 10
    return build_cell(cell.identity, catalogue, LoadedData(pixels, labels, pixels, labels, 10, "", ()), CPU).engine


def graphed(engine: Engine) -> SimulatedRecorder:
    """Execute the engine with a simulated graph."""
    recorder = SimulatedRecorder(share=len(due_players(engine.players)) <= 2)
    with state_kept(engine):
        execution = Graphed(engine, recorder=recorder)
    recorder.kept = lambda: kept_tensors(engine, execution)
    engine.execution = execution
    return recorder


def kept_tensors(engine: Engine, execution: Graphed) -> Iterator[Tensor]:
    """Yield the tensors that the engine, its optimisers and the graphs refer to between two steps."""
    yield from read_state(engine).tensors.values()
    for player in engine.players:
        for state in player.optimizer.state.values() if player.optimizer is not None else ():
            yield from (value for value in state.values() if isinstance(value, Tensor))
    for network in engine.networks.values():
        yield from (p.grad for p in network.parameters() if p.grad is not None)
    for captured in execution._captured.values():
        yield from (gradient for _, gradient in captured.gradients if gradient is not None)
        if captured.losses is not None:
            yield from (captured.losses.rows, captured.losses.next_row)


def run_steps(engine: Engine, steps: int = STEPS) -> tuple[dict[str, Tensor], TrainingState]:
    for _ in range(steps):
        engine.step()
    return engine.read_terms(), read_state(engine).copy()


def differing(one: tuple[dict[str, Tensor], TrainingState], other: tuple[dict[str, Tensor], TrainingState]) -> set[str]:
    """Return the names of losses and state tensors that are not equal bit for bit."""
    found = set()
    for mine, theirs in ((one[0], other[0]), (one[1].tensors, other[1].tensors)):
        assert mine.keys() == theirs.keys()
        found |= {name for name in mine if not torch.equal(mine[name], theirs[name])}
    for name in ("step_number", "images_seen", "updates", "data"):
        if one[1].numbers[name] != other[1].numbers[name]:
            found.add(name)
    return found


def engine_with(objective: Callable[[nn.Linear, Batch], Tensor], every: tuple[int, ...] = (1,)) -> Engine:
    """Return the engine of a layer that is trained with this objective, on images of two pixels."""
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
        ResidentImages(BatchSettings(pixels, None, 2, (0.0, 1.0), CPU, torch.Generator().manual_seed(2))),
        torch.Generator().manual_seed(3),
        {phase.name: optimizer for phase in phases},
    )


def loss(layer: nn.Linear, batch: Batch) -> Tensor:
    output: Tensor = layer(batch.images.flatten(1))
    return output.square().mean()
