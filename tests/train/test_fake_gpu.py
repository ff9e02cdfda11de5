"""A whole step on a fake GPU that computes nothing: no tensor of a batch or an update is left on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn

from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.sampling.inference import evaluation_mode
from genbench.sampling.sampler import held_out_batch
from genbench.testing.fake_device import FAKE_CUDA, FakeGenerator, fake_gpu, move_to_fake_gpu
from genbench.train import builder
from genbench.train.builder import Built, build_cell

AUGMENTED = {"augment_flip": 0.5, "augment_rotate": 10.0, "augment_crop": 0.1, "augment_scale": 0.1}
RECIPES: dict[str, dict[str, object]] = {
    "adam": {},
    # Not sgd: torch has no fake implementation of its fused step.
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
    "averaged": {"ema_half_life": 100.0},
    "augmented": AUGMENTED,
    "diffaugment": {"augment_discriminator": "diffaugment"},
    "ada": {"augment_discriminator": "ada"},
    "rmsprop": {"optimizer": "rmsprop", "momentum": 0.5, "clip_gradient": 1.0},
    "regularised": {"orthogonal": 0.1, "dropout": 0.2, "schedule": "cosine", "schedule_warmup": 10},
    "bf16": {"precision": "bf16"},
}
QUICK = ("acgan", "gan", "vae")
CATALOGUE = discover()
MODELS = sorted(name for name, entry in CATALOGUE.models.items() if entry.plugin.origin == "builtin")


def _move(module: nn.Module, *_: Any, **__: Any) -> nn.Module:
    move_to_fake_gpu({"module": module})
    return module


def _copied(network: nn.Module) -> nn.Module:
    """Return a copy with empty tensors: torch's own copy reads the memory that fake tensors lack, and crashes later."""
    memo: dict[int, Any] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        empty = torch.empty_like(tensor)
        memo[id(tensor)] = nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty
    return copy.deepcopy(network, memo)


@contextmanager
def on_a_fake_gpu(catalogue: Catalogue, model: str, **recipe: object) -> Iterator[tuple[Built, Any, LoadedData]]:
    """Build a cell on the fake GPU; gradients are empty, and are on the parameters' device."""
    given = {"models": model, "batch_size": 8, "images": 320, **recipe}
    if model == "resnet-gan":  # does not support 28 pixels
        given |= {"datasets": "synthetic", "set": {"synthetic": {"size": 32}}}
    (planned,) = make_plan(make_request(given), catalogue, "cuda").cells
    assert not planned.reason, planned.reason
    pixels = torch.randint(0, 256, (44, *planned.identity.image_shape), dtype=torch.uint8)
    labels = torch.arange(44) % 10
    data = LoadedData(pixels, labels, pixels[:8], labels[:8], 10, "", ())
    networks: list[nn.Module] = []

    def backward(total: Tensor) -> None:
        assert total.device.type == "cuda"
        for network in networks:
            for parameter in network.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.empty_like(parameter)

    with ExitStack() as stack:
        for module in ("genbench.train.builder", "genbench.data.source"):
            stack.enter_context(mock.patch(f"{module}.seeded_generator", lambda *_: FakeGenerator()))
        stack.enter_context(mock.patch.object(builder, "check_output", lambda *_: None))  # reads values
        stack.enter_context(mock.patch.object(nn.Module, "to", _move))
        stack.enter_context(mock.patch("genbench.train.ema.copy", SimpleNamespace(deepcopy=_copied)))
        stack.enter_context(mock.patch.object(Tensor, "backward", backward))
        # torch crashes if its cache of fake results meets generators of the fake GPU again.
        stack.enter_context(mock.patch.object(torch._dynamo.config, "fake_tensor_cache_enabled", False))
        stack.enter_context(fake_gpu())
        built = build_cell(planned.identity, catalogue, data, FAKE_CUDA)
        networks += built.engine.networks.values()
        yield built, planned.identity, data


def require_on_gpu(built: Built) -> None:
    engine = built.engine
    for network in (*engine.networks.values(), *(engine.average.networks.values() if engine.average else ())):
        assert {tensor.device.type for tensor in (*network.parameters(), *network.buffers())} <= {"cuda"}
    for player in engine.players:
        values = [*player.totals, *(value for series in player.terms.values() for value in series)]
        assert {value.device.type for value in values} == {"cuda"}
        states = [] if player.optimizer is None else list(player.optimizer.state.values())
        held = [value for state in states for value in state.values() if isinstance(value, Tensor)]
        assert {value.device.type for value in held if value.numel() > 1} <= {"cuda"}


@pytest.mark.parametrize(
    "model", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]
)
def test_every_model_trains_samples_and_reconstructs_without_leaving_the_gpu(model: str) -> None:
    with on_a_fake_gpu(CATALOGUE, model, ema_half_life=100.0) as (built, _, data):
        for _ in range(2):
            built.engine.step()
        require_on_gpu(built)
        family: Any = built.family_for_sampling()
        with evaluation_mode(built.sampled_networks.values()):
            images, labels = held_out_batch(built, data, slice(0, 8), FAKE_CUDA)
            if model != "vq-vae":  # its prior draws by exponential_, for which torch has no fake kernel
                assert family.sample(8, built.engine.rng, labels).device.type == "cuda"
            if built.family_spec.reconstructs:
                assert family.reconstruct(images, labels).device.type == "cuda"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_without_leaving_the_gpu(recipe: str) -> None:
    with on_a_fake_gpu(CATALOGUE, "dcgan", **RECIPES[recipe]) as (built, _, _):
        for _ in range(3):
            built.engine.step()
        require_on_gpu(built)
        assert (built.engine.average is not None) == (recipe == "averaged")


@pytest.mark.parametrize("loss", ["r1", "wgan-gp", "wgan"])
def test_losses_with_penalties_train_without_leaving_the_gpu(loss: str) -> None:
    with on_a_fake_gpu(CATALOGUE, "gan", losses=loss) as (built, _, _):
        for _ in range(3):
            built.engine.step()
        require_on_gpu(built)


@pytest.mark.parametrize("labels", [False, True])
def test_batches_and_their_augmentation_are_on_the_gpu(labels: bool) -> None:
    with on_a_fake_gpu(CATALOGUE, "acgan" if labels else "gan", **AUGMENTED) as (built, _, _):
        for _ in range(8):  # more than an epoch
            images, classes = built.engine.data.next_batch()
            assert images.device.type == "cuda"
            assert (classes is not None) == labels
            assert classes is None or classes.device.type == "cuda"
