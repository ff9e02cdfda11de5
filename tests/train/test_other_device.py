"""Training and drawing on a second device that is not CUDA: with the values of the CPU, and no tensor left on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from built_models import tiny
from engine_cells import CATALOGUE, some_data
from other_device import OtherTensor, other_device
from torch import Tensor

from genbench.cell.step_counters import count_steps
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.sampling.sampler import draw
from genbench.train.builder import Built, build_cell
from genbench.train.checkpoint import load_checkpoint, save_checkpoint
from genbench.train.state import read_state

CPU = torch.device("cpu")
RECIPES: dict[str, dict[str, object]] = {
    "augmented": {"augment_flip": 0.5, "augment_rotate": 10.0, "augment_crop": 0.1, "augment_scale": 0.1},
    "averaged": {"ema_half_life": 100.0},
    "diffaugment": {"augment_discriminator": "diffaugment"},
    "ada": {"augment_discriminator": "ada"},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5, "clip_gradient": 1.0},
    "sgd": {"optimizer": "sgd", "schedule": "cosine", "schedule_warmup": 10},
    "loader": {"input": "loader"},
}
QUICK = ("gan", "dcgan", "acgan", "vae", "conv-vae")
MODELS = sorted(name for name, entry in CATALOGUE.models.items() if entry.plugin.origin == "builtin")


def cell(model: str, device: torch.device, **recipe: object) -> tuple[Built, Any, Any]:
    given: dict[str, object] = {"models": model, "batch_size": 8, "images": 320, **recipe}
    options: dict[str, Any] = {model: tiny(model)}
    shape = (1, 28, 28)
    if model == "resnet-gan":  # does not support 28 pixels
        shape, options["synthetic"], given["datasets"] = (1, 32, 32), {"size": 32, "channels": 1}, "synthetic"
    (planned,) = make_plan(make_request({**given, "set": options}), CATALOGUE, "cpu").cells
    assert not planned.reason, planned.reason
    data = some_data(shape)
    return build_cell(planned.identity, CATALOGUE, data, device), planned.identity, data


def trained(model: str, device: torch.device, **recipe: object) -> tuple[Built, dict[str, Tensor], Tensor]:
    """Return a trained cell, its losses and its state, and samples of it."""
    built, identity, data = cell(model, device, **recipe)
    for _ in range(3):
        built.engine.step()
    found = {**built.engine.read_terms(), **read_state(built.engine).copy().tensors}
    return built, found, draw(built, identity, data, device, 4).samples.pixels


def on_the_cpu(value: Tensor) -> Tensor:
    return value.cpu() if isinstance(value, OtherTensor) else value


def require_the_same(model: str, **recipe: object) -> None:
    _, expected, expected_samples = trained(model, CPU, **recipe)
    with other_device() as device:
        built, found, samples = trained(model, device, **recipe)
        found = {name: on_the_cpu(value) for name, value in found.items()}
        averaged = {} if built.engine.average is None else built.engine.average.networks
        for network in (*built.engine.networks.values(), *averaged.values()):
            for tensor in (*network.parameters(), *network.buffers()):
                assert isinstance(tensor, OtherTensor)
        samples = on_the_cpu(samples)
    assert found.keys() == expected.keys()
    moved = [name for name in found if name.startswith(("network.", "average."))]
    apart, size = (
        torch.cat([tensor.double().flatten() for tensor in tensors]).norm()
        for tensors in ([found[name] - expected[name] for name in moved], [expected[name] for name in moved])
    )
    assert apart < 1e-3 * size  # optimisers round differently
    exact = [name for name in found if name.startswith(("data.", "rng."))]
    assert [name for name in exact if not torch.equal(found[name], expected[name])] == []
    losses = [name for name in found if "." not in name]
    assert losses and all(torch.allclose(found[name], expected[name], rtol=1e-3) for name in losses)
    assert (samples.int() - expected_samples.int()).abs().max() <= 1


@pytest.mark.parametrize(
    "model", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_every_model_trains_and_draws_as_on_the_cpu(model: str) -> None:
    require_the_same(model)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_draws_as_on_the_cpu(recipe: str) -> None:
    require_the_same("dcgan", **RECIPES[recipe])


def test_counting_and_resuming_work_there(tmp_path: Path) -> None:
    with other_device() as device:
        counted = count_steps(cell("dcgan", device)[0].engine, device)
        first, _, _ = cell("dcgan", device)
        first.engine.step()
        save_checkpoint(tmp_path / "checkpoint", first.engine, {}, {})
        second, _, _ = cell("dcgan", device)
        load_checkpoint(tmp_path / "checkpoint", second.engine)
        second.engine.step()
        first.engine.step()
        one, other = (read_state(built.engine).tensors for built in (first, second))
        assert [name for name in one if not torch.equal(on_the_cpu(one[name]), on_the_cpu(other[name]))] == []
    assert counted.counters.host_reads == 0
    assert counted.flops_per_image > 0
