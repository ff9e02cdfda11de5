"""Graphs captured on a GPU: what the simulation on a CPU cannot show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genbench.api.training import Batch, Objective, Phase
from genbench.cell.launch_bound import launch_bound_fraction
from genbench.data.loading import LoadedData
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.train.builder import build_cell
from genbench.train.engine import Eager, Engine
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.equivalence import check_execution, eager_trajectories
from genbench.train.state import read_state, state_kept

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def engine_of(catalogue: Catalogue, model: str, *settings: str, **recipe: Any) -> Engine:
    wanted = {"models": model, "batch_size": 16, "images": 3200, **recipe}
    (cell,) = make_plan(make_request(wanted, settings), catalogue, "cuda").cells
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (100, *cell.identity.image_shape), dtype=torch.uint8, generator=rng)
    labels = torch.arange(100) % 10
    return build_cell(cell.identity, catalogue, LoadedData(pixels, labels, pixels, labels, 10, "", ()), GPU).engine


CASES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "gan": ("gan", [], {}),
    "dcgan": ("dcgan", ["dcgan.width=16"], {"ema_half_life": 1000.0, "augment_flip": 0.5}),
    "dcgan in bf16": ("dcgan", ["dcgan.width=16"], {"precision": "bf16"}),
    "lazy penalty": ("gan", ["r1.penalty_every=3"], {"losses": "r1", "discriminator_steps": 2}),
    "ada, dropout": ("gan", [], {"augment_discriminator": "ada", "augment_speed": 1000, "dropout": 0.2}),
    "labels": ("cdcgan", ["cdcgan.width=16"], {}),
    "spectral norm": ("sn-dcgan", ["sn-dcgan.width=16"], {}),
    "vae": ("vae", [], {"schedule": "cosine", "schedule_warmup": 160}),
    "rmsprop": ("vae", [], {"optimizer": "rmsprop", "schedule": "linear"}),
    "sgd": ("vae", [], {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 1e-5}),
    "vq-vae": ("vq-vae", ["vq-vae.codes=16", "vq-vae.width=16", "vq-vae.prior_width=8"], {}),
}


@pytest.mark.parametrize("case", list(CASES))
def test_replays_train_like_eager_steps(catalogue: Catalogue, case: str) -> None:
    model, settings, recipe = CASES[case]
    engine = engine_of(catalogue, model, *settings, **recipe)
    eager = eager_trajectories(engine)
    execution = open_execution("graph", engine)
    check = check_execution(engine, execution, eager)
    assert all(bound.found <= bound.tolerance for bound in check.bounds), check.bounds
    execution.close()


def test_a_replay_draws_the_same_numbers_as_eager_steps(catalogue: Catalogue) -> None:
    """With fused Adam and the same random numbers, losses over several epochs agree up to rounding."""
    losses = {}
    for name in ("eager", "graph"):
        engine = engine_of(catalogue, "gan", dropout=0.2)
        engine.execution = open_execution(name, engine)
        for _ in range(30):
            engine.step()
        losses[name] = engine.read_terms()
    assert losses["graph"].keys() == losses["eager"].keys()
    for name, series in losses["eager"].items():
        torch.testing.assert_close(losses["graph"][name], series, rtol=1e-3, atol=1e-4)


def test_a_replay_does_not_synchronise_with_the_device(catalogue: Catalogue) -> None:
    engine = engine_of(catalogue, "gan", "r1.penalty_every=3", losses="r1", schedule="cosine")
    engine.execution = open_execution("graph", engine)
    engine.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            engine.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(engine.read_terms()["generator"]) == 11


def engine_with(objective: Callable[[nn.Module, Batch], Tensor], width: int = 8) -> Engine:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1)).to(GPU)
    pixels = torch.randint(0, 256, (64, 1, 2, 2), dtype=torch.uint8)
    return Engine(
        {"network": network},
        [Phase("phase", ("network",), lambda batch: Objective(objective(network, batch), {}))],
        ResidentImages(BatchSettings(pixels, None, 16, (0.0, 1.0), GPU, torch.Generator(GPU))),
        torch.Generator(GPU),
        {"phase": torch.optim.Adam(network.parameters(), fused=True)},
    )


def rejection(engine: Engine) -> str:
    """Return why the step is not captured; check that eager steps still work, and that another can be captured."""
    before = read_state(engine).copy()
    with pytest.raises(EngineUnavailable) as error:
        open_execution("graph", engine)
    after = read_state(engine)
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    with state_kept(engine):
        engine.execution = Eager()
        for _ in range(3):
            engine.step()
    torch.rand(3, device=GPU, generator=engine.rng)
    torch.rand(3, device=GPU)  # the global generator is not left in capture mode
    torch.cuda.synchronize()
    other = engine_with(lambda network, batch: network(batch.images + torch.rand((), device=GPU)).mean())
    other.execution = open_execution("graph", other)
    other.step()
    assert other.read_terms()["phase"].isfinite().all()
    return str(error.value)


def test_a_step_that_reads_on_the_host_is_rejected() -> None:
    def reading(network: nn.Module, batch: Batch) -> Tensor:
        value: Tensor = network(batch.images + torch.rand((), device=GPU)).mean()
        return value if value.item() > -1e9 else -value

    assert "`.item()` at test_graphed_cuda.py:" in rejection(engine_with(reading))


def test_an_unregistered_generator_is_rejected_or_replayed() -> None:
    """Depending on the version of torch; a replay must not repeat its numbers."""
    own = torch.Generator(GPU)

    def drawing(network: nn.Module, batch: Batch) -> Tensor:
        value: Tensor = network(batch.images).mean()
        return value * 0 + torch.rand((), device=GPU, generator=own)

    engine = engine_with(drawing)
    try:
        engine.execution = open_execution("graph", engine)
    except EngineUnavailable as error:
        assert "generator" in str(error)
        return
    for _ in range(5):
        engine.step()
    assert len(set(engine.read_terms()["phase"].tolist())) == 5


def test_running_out_of_memory_at_capture_is_reported_as_such() -> None:
    _, total = torch.cuda.mem_get_info()

    def hungry(network: nn.Module, batch: Batch) -> Tensor:
        if torch.cuda.is_current_stream_capturing():
            torch.empty(2 * total, dtype=torch.uint8, device=GPU)
        value: Tensor = network(batch.images).mean()
        return value

    assert "out of memory while the step was captured" in rejection(engine_with(hungry))


def test_the_launch_bound_fraction_is_between_0_and_1(catalogue: Catalogue) -> None:
    """Launching a perceptron of eight neurons takes far longer than computing it."""
    share = launch_bound_fraction(engine_of(catalogue, "gan", "gan.width=8"), GPU)
    assert share is not None
    assert 0.2 < share < 1
