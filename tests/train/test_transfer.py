"""Initial weights are loaded by name and shape, and the rest is reported; frozen parameters do not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genbench.api.training import Batch, Objective, Phase
from genbench.errors import UsageError
from genbench.train.checkpoint import save_weights
from genbench.train.transfer import freeze, load_initial, require_trainable


def networks(seed: int, classes: int = 1) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    return {
        "generator": nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)),
        "discriminator": nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(), nn.Linear(4, classes)),
    }


def all_state(of: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.clone() for name, network in of.items() for key, value in network.state_dict().items()
    }


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "source.safetensors"
    save_weights(path, networks(1), {"model": "x"})
    return path


def test_all_weights_of_the_same_model_are_loaded(weights: Path) -> None:
    source, target = networks(1), networks(2)
    report = load_initial(target, weights)
    expected = all_state(source)
    found = all_state(target)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert set(report.taken) == set(expected)
    assert report.missing == report.unused == report.mismatched == ()


def test_what_differs_is_reported_and_starts_from_scratch(weights: Path) -> None:
    target = networks(2, classes=10)
    target["generator"].append(nn.Linear(3, 5))  # type: ignore[operator]
    del target["generator"][1]  # type: ignore[attr-defined]  # the second dense layer becomes number 2
    before, source = all_state(target), all_state(networks(1))
    report = load_initial(target, weights)
    found = all_state(target)
    assert report.taken == (
        "generator.0.weight",
        "generator.0.bias",
        "discriminator.0.weight",
        "discriminator.0.bias",
    )
    assert report.missing == ("generator.2.weight", "generator.2.bias")
    assert set(report.unused) == {
        f"generator.1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert report.mismatched == (
        "generator.3.weight: 3×4 in the file, 5×3 in the model",
        "generator.3.bias: 3 in the file, 5 in the model",
        "discriminator.2.weight: 1×4 in the file, 10×4 in the model",
        "discriminator.2.bias: 1 in the file, 10 in the model",
    )
    for name, value in found.items():
        assert torch.equal(value, (source if name in report.taken else before)[name])


def test_half_precision_is_cast_to_the_precision_of_the_networks(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: value.bfloat16() for name, value in all_state(networks(1)).items() if "num" not in name}, path)
    target = networks(2)
    load_initial(target, path)
    weight = target["generator"][0].weight  # type: ignore[index]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, networks(1)["generator"][0].weight.bfloat16().float())  # type: ignore[index]


def test_training_continues_from_the_loaded_weights(weights: Path) -> None:
    """Parameters stay the same leaf tensors, so an optimiser made before or after holds the right ones."""
    target = networks(2)
    parameter = next(target["generator"].parameters())
    load_initial(target, weights)
    assert next(target["generator"].parameters()) is parameter
    assert parameter.requires_grad
    assert parameter.is_leaf


def rejected(path: Path, target: dict[str, nn.Module] | None = None) -> str:
    of = networks(2) if target is None else target
    before = all_state(of)
    with pytest.raises(UsageError) as error:
        load_initial(of, path)
    assert all(
        torch.equal(value, before[name]) for name, value in all_state(of).items()
    )  # nothing was loaded partially
    return str(error.value)


def changed(path: Path, changes: dict[str, Tensor]) -> Path:
    save_file({**load_file(path), **changes}, path)
    return path


def test_a_pickle_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for old_format in (False, True):
        torch.save(networks(1)["generator"].state_dict(), path, _use_new_zipfile_serialization=not old_format)
        assert "are a pickle, and reading it could run arbitrary code" in rejected(path)


def test_a_file_whose_header_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    """A header of 640 bytes starts with 80 02, like a pickle of protocol 2."""
    path = tmp_path / "weights.safetensors"
    tensors = all_state(networks(1))
    for padding in range(2000):
        save_file(tensors, path, {"padding": "x" * padding})
        if path.read_bytes()[:1] == b"\x80":
            break
    else:
        pytest.fail("no header of such a length")
    assert load_initial(networks(2), path).missing == ()


@pytest.mark.parametrize("content", [b"", b"\x08", b"not weights at all, but some text", bytes(64)])
def test_another_kind_of_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert "damaged or not a safetensors file" in rejected(path)


def test_damage_is_detected(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    assert "its tensors are not those that were written" in rejected(weights)
    weights.write_bytes(content[:-8])
    assert "damaged" in rejected(weights)


def test_a_missing_file_or_a_folder_is_rejected(tmp_path: Path) -> None:
    assert "No such file" in rejected(tmp_path / "nothing.safetensors")
    assert "cannot be read" in rejected(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_diverged_are_rejected(weights: Path, value: float) -> None:
    weight = load_file(weights)["discriminator.2.weight"]
    weight[0, 0] = value
    message = rejected(changed(weights, {"discriminator.2.weight": weight}))
    assert "'discriminator.2.weight'" in message
    assert "not finite" in message


def test_a_value_beyond_the_networks_precision_is_not_finite_either(weights: Path) -> None:
    weight = load_file(weights)["discriminator.2.weight"].double() + 1e300
    assert "not finite" in rejected(changed(weights, {"discriminator.2.weight": weight}))


def test_integers_are_not_weights(weights: Path) -> None:
    weight = torch.ones(1, 4, dtype=torch.int64)
    assert "has the type int64, in the model float32" in rejected(changed(weights, {"discriminator.2.weight": weight}))


def test_other_network_names_get_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"generater.0.weight": torch.ones(4, 2)}, path)
    message = rejected(path)
    assert "it has the networks generater, the model generator, discriminator. Did you mean 'generator'?" in message
    assert "<network>.<parameter>" in message


def test_it_is_an_error_if_nothing_fits_but_a_counter(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"generator.1.num_batches_tracked": torch.tensor(7), "generator.0.weight": torch.ones(9, 9)}, path)
    assert "generator.0.weight: 9×9 in the file, 4×2 in the model" in rejected(path)
    save_file({"generator.first.weight": torch.ones(4, 2)}, path)
    assert "the file has, for example, generator.first.weight, and the model generator.0.weight" in rejected(path)
    save_file({}, path)
    assert "it has the networks none" in rejected(path)


def test_a_checkpoint_of_an_unfinished_training_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "cell.resume.safetensors"
    save_file({"network.generator.0.weight": torch.ones(4, 2)}, path, {"version": "1", "numbers": "{}"})
    assert "unfinished training" in rejected(path)


# ----------------------------------------------------------------------------------------------------------------------
# Freezing


def no_objective(batch: Batch) -> Objective:
    raise NotImplementedError


PHASES = [Phase(name, (name,), no_objective) for name in ("discriminator", "generator")]


def test_a_pattern_freezes_what_it_matches() -> None:
    of = networks(1)
    names = freeze(of, ["discriminator.0.*", "*.bias", "discriminator.0.weight"])
    assert names == [
        "generator.0.bias",
        "generator.1.bias",
        "generator.3.bias",
        "discriminator.0.weight",
        "discriminator.0.bias",
        "discriminator.2.bias",
    ]
    trainable = {f"{n}.{k}" for n, network in of.items() for k, p in network.named_parameters() if p.requires_grad}
    assert trainable == {
        "generator.0.weight",
        "generator.1.weight",
        "generator.3.weight",
        "discriminator.2.weight",
    }
    require_trainable(of, PHASES, names)


def test_without_a_pattern_nothing_is_frozen() -> None:
    of = networks(1)
    assert freeze(of, []) == []
    assert all(p.requires_grad for network in of.values() for p in network.parameters())


def test_frozen_weights_do_not_change_while_others_do() -> None:
    """A gradient still passes through the frozen layer to the layers before it."""
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    freeze({"discriminator": network}, ["discriminator.1.*"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"0.weight", "0.bias"}


def test_running_averages_of_a_frozen_batch_norm_still_follow_the_data() -> None:
    of = networks(1)
    freeze(of, ["generator.0.*", "generator.1.*"])
    norm: Any = of["generator"][1]  # type: ignore[index]
    of["generator"](torch.randn(64, 2) + 5)
    assert bool((norm.running_mean != 0).all())


def test_a_pattern_without_a_match_gets_a_suggestion() -> None:
    of = networks(1)
    with pytest.raises(
        UsageError, match=r"no parameter matches 'discriminater\.0\.\*'\. Did you mean 'discriminator\.0"
    ) as e:
        freeze(of, ["generator.0.*", "discriminater.0.*"])
    assert "Names begin with a network: generator, discriminator" in str(e.value)
    assert all(p.requires_grad for network in of.values() for p in network.parameters())


def test_case_matters() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'generator\.0\.weight'"):
        freeze(networks(1), ["Generator.0.weight"])


def test_a_phase_must_keep_something_to_train() -> None:
    of = networks(1)
    names = freeze(of, ["discriminator.*"])
    with pytest.raises(UsageError, match="leaves the phase 'discriminator' nothing to train"):
        require_trainable(of, PHASES, names)
    both = [Phase("autoencoder", ("generator", "discriminator"), no_objective)]
    require_trainable(of, both, names)  # one of its networks may be frozen entirely


def test_a_player_without_parameters_is_not_an_error() -> None:
    of = {**networks(1), "discriminator": nn.Flatten()}
    require_trainable(of, PHASES, freeze(of, ["generator.0.*"]))
