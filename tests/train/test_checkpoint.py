"""A checkpoint holds everything that training needs: ten steps equal five, a save and load, and five more."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import checksum_of_tensors, numbers_of, rewrite, with_numbers
from safetensors.torch import load_file
from torch import Tensor, nn

from genbench.api.specs import ModelSpec
from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import (
    LoadedPlugin,
    Plugin,
    builtin_plugins,
    load_plugin,
)
from genbench.train.builder import Built, build_cell
from genbench.train.checkpoint import load_checkpoint, save_checkpoint, save_weights

CPU = torch.device("cpu")


class UsesGlobalRandomness(nn.Module):
    """An encoder that uses every global source of randomness: torch's, numpy's and Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        factor = 1 + 0.1 * random.random() + 0.1 * float(np.random.rand()) + 0.1 * float(np.random.normal())
        mean, log_variance = (self.body(images) * factor).chunk(2, 1)
        return mean, log_variance


def build_random_encoder(**_: Any) -> dict[str, nn.Module]:
    return {
        "encoder": UsesGlobalRandomness(),
        "decoder": nn.Sequential(nn.Linear(2, 784), nn.Unflatten(1, (1, 28, 28))),
    }


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    plugin = Plugin("restless", "file", "restless.py", "restless.py", "1")
    spec = ModelSpec(
        name="restless",
        family="variational",
        build=build_random_encoder,
        default_loss="elbo",
        value_range=(0.0, 1.0),
        output="logits",
        latent_dim=2,
    )
    return combine([*map(load_plugin, builtin_plugins()), LoadedPlugin(plugin, {"models": [spec]})])


def build(catalogue: Catalogue, model: str, *settings: str, **recipe: Any) -> Built:
    """Return a cell that is ready to train on 40 random images: two batches per epoch and eight images left over."""
    torch.set_num_threads(1)
    wanted = {"models": model, "profile": "smoke", "batch_size": 16, **recipe}
    identity = make_plan(make_request(wanted, settings), catalogue, "cpu").cells[0].identity
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (40, *identity.image_shape), dtype=torch.uint8, generator=rng)
    labels = torch.arange(40) % 10
    return build_cell(identity, catalogue, LoadedData(pixels, labels, pixels, labels, 10, "", ()), CPU)


def state(built: Built) -> dict[str, Tensor]:
    """Return every tensor that training has changed."""
    engine = built.engine
    found = {f"{n}.{k}": v for n, net in engine.networks.items() for k, v in net.state_dict().items()}
    if engine.average is not None:
        found |= {
            f"average.{n}.{k}": v for n, net in engine.average.networks.items() for k, v in net.state_dict().items()
        }
    for player in engine.players:
        assert player.optimizer is not None
        for index, held in player.optimizer.state_dict()["state"].items():
            found |= {f"{player.phase.name}.{index}.{k}": v for k, v in held.items()}
    found["rng"] = engine.rng.get_state()
    return {name: tensor.clone() for name, tensor in found.items()}


CASES = {
    "gan": ("gan", (), {"ema_half_life": 100.0}),
    "gan with two discriminator steps": ("gan", (), {"discriminator_steps": 2}),
    "dcgan": ("dcgan", ("dcgan.width=8",), {}),
    "dcgan, averaged, bf16": ("dcgan", ("dcgan.width=8",), {"ema_half_life": 100.0, "precision": "bf16"}),
    "vae": ("vae", ("vae.hidden=16",), {}),
    "vae, bf16": ("vae", ("vae.hidden=16",), {"precision": "bf16"}),
    "conv-vae": ("conv-vae", (), {"ema_half_life": 100.0}),
    "restless": ("restless", (), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_ten_steps_equal_five_save_load_five(tmp_path: Path, catalogue: Catalogue, case: str) -> None:
    model, settings, recipe = CASES[case]
    whole = build(catalogue, model, *settings, **recipe)
    for _ in range(5):
        whole.engine.step()
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, whole.engine, {"mine": torch.arange(3)}, {"noted": [1, "two"]})
    for _ in range(5):
        whole.engine.step()
    expected, terms = state(whole), whole.engine.read_terms()

    again = build(catalogue, model, *settings, **recipe)
    again.engine.step()  # changes state that loading must replace
    again.engine.read_terms()
    torch.manual_seed(9), np.random.seed(9), random.seed(9)
    extra, notes = load_checkpoint(path, again.engine)
    assert again.engine.step_number == 5
    for _ in range(5):
        again.engine.step()
    found = state(again)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    for name, values in again.engine.read_terms().items():
        assert torch.equal(values, terms[name][-len(values) :])
    assert (again.engine.step_number, again.engine.images_seen) == (10, whole.engine.images_seen)
    assert [p.updates for p in again.engine.players] == [p.updates for p in whole.engine.players]
    assert extra.keys() == {"mine"}
    assert notes == {"noted": [1, "two"]}


def test_moments_keep_the_memory_layout_of_their_parameters(tmp_path: Path, catalogue: Catalogue) -> None:
    """Fused optimisers pair values by memory position, so a channels_last weight needs channels_last moments."""
    built = build(catalogue, "dcgan", "dcgan.width=8")
    built.engine.step()
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, built.engine, {}, {})
    again = build(catalogue, "dcgan", "dcgan.width=8")
    load_checkpoint(path, again.engine)
    for player in again.engine.players:
        assert player.optimizer is not None
        for parameter, held in player.optimizer.state.items():
            assert held["exp_avg"].stride() == parameter.stride()


@pytest.mark.parametrize("damage", ["cut", "emptied", "one bit of a tensor", "one bit of the header", "no checkpoint"])
def test_a_damaged_file_is_a_value_error(tmp_path: Path, catalogue: Catalogue, damage: str) -> None:
    built = build(catalogue, "vae", "vae.hidden=16")
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, built.engine, {}, {})
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "emptied":
        data = bytearray()
    elif damage == "one bit of a tensor":
        data[-1] ^= 1
    elif damage == "one bit of the header":
        data[40] ^= 1
    path.write_bytes(data)
    if damage == "no checkpoint":
        save_weights(path, built.setup.networks, {"model": "vae"})
    with pytest.raises(ValueError, match=r"\w"):
        load_checkpoint(path, built.engine)


def test_a_checkpoint_of_other_networks_is_a_value_error(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, build(catalogue, "vae", "vae.hidden=16").engine, {}, {})
    with pytest.raises(ValueError, match="size mismatch"):
        load_checkpoint(path, build(catalogue, "vae", "vae.hidden=17").engine)


def test_weights_are_stored_by_network_and_name_without_a_pickle(tmp_path: Path, catalogue: Catalogue) -> None:
    networks = build(catalogue, "vae", "vae.hidden=16").setup.networks
    path = tmp_path / "weights.safetensors"
    save_weights(path, networks, {"model": "vae"})
    stored = load_file(path)  # the format contains only tensors, no code
    assert stored.keys() == {f"{n}.{k}" for n, net in networks.items() for k in net.state_dict()}
    assert torch.equal(stored["encoder.mean.weight"], networks["encoder"].state_dict()["mean.weight"])


def test_tied_weights_are_stored_and_restored(tmp_path: Path) -> None:
    one = nn.Linear(3, 3)
    tied = {"a": one, "b": nn.Sequential(one)}
    save_weights(tmp_path / "tied.safetensors", tied, {})
    stored = load_file(tmp_path / "tied.safetensors")
    assert torch.equal(stored["a.weight"], stored["b.0.weight"])


def test_one_changed_digit_of_the_numbers_is_noticed(tmp_path: Path, catalogue: Catalogue) -> None:
    built = build(catalogue, "vae", "vae.hidden=16")
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, built.engine, {}, {"noted": 1})
    rewrite(path, lambda metadata: metadata.update(numbers=metadata["numbers"].replace('"noted":1', '"noted":2')))
    with pytest.raises(ValueError, match="its numbers are not those that were written"):
        load_checkpoint(path, built.engine)


def test_a_checkpoint_of_an_earlier_version_still_resumes(tmp_path: Path, catalogue: Catalogue) -> None:
    """It has no checksum of its numbers."""
    built = build(catalogue, "gan", discriminator_steps=2)
    built.engine.step()
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, built.engine, {}, {"noted": 1})
    of_tensors = checksum_of_tensors(path)
    rewrite(path, lambda metadata: metadata.update(checksum=of_tensors))
    again = build(catalogue, "gan", discriminator_steps=2)
    assert load_checkpoint(path, again.engine)[1] == {"noted": 1}
    assert again.engine.step_number == 1


@pytest.mark.parametrize("step_number", [10**15, -1, 2, "three", None, 1.5])
def test_a_number_of_steps_that_its_counts_contradict_is_a_value_error(
    tmp_path: Path, catalogue: Catalogue, step_number: object
) -> None:
    built = build(catalogue, "vae", "vae.hidden=16")
    built.engine.step()
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, built.engine, {}, {})
    with_numbers(path, {**numbers_of(path), "step_number": step_number})
    with pytest.raises(ValueError, match=r"step"):
        load_checkpoint(path, built.engine)


@pytest.mark.parametrize("entry", ["version", "checksum", "numbers"])
def test_a_missing_entry_is_a_value_error(tmp_path: Path, catalogue: Catalogue, entry: str) -> None:
    built = build(catalogue, "vae", "vae.hidden=16")
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, built.engine, {}, {})
    rewrite(path, lambda metadata: metadata.pop(entry))
    with pytest.raises(ValueError, match=r"\w"):
        load_checkpoint(path, built.engine)


@pytest.mark.parametrize("model", ["gan", "wgan"])
def test_the_counts_after_some_steps_are_those_of_the_steps(catalogue: Catalogue, model: str) -> None:
    losses = {} if model == "gan" else {"losses": "wgan-gp", "discriminator_steps": 3}
    engine = build(catalogue, "gan", **losses).engine
    for steps in range(4):
        assert engine.counts_after(steps) == (engine.images_seen, {p.phase.name: p.updates for p in engine.players})
        engine.step()
