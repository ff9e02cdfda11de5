"""The hash of initial weights depends on their tensors alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from genbench.planning.initial_weights import is_unchanged, weights_hash
from genbench.train.checkpoint import save_weights

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4), "c.count": torch.tensor(3)}


def hash_of(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    save_file(tensors, path, metadata)
    return weights_hash(path)


def test_metadata_and_order_change_nothing(tmp_path: Path) -> None:
    expected = hash_of(tmp_path / "a", WEIGHTS)
    assert hash_of(tmp_path / "b", dict(reversed(WEIGHTS.items()))) == expected
    for seed in range(8):  # the library writes the metadata in a random order
        assert hash_of(tmp_path / "c", WEIGHTS, {"model": "vae", "cell": str(seed), "weights": "raw"}) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {**WEIGHTS, "b.bias": torch.full((4,), 1.0000001)},
        {**WEIGHTS, "a.weight": WEIGHTS["a.weight"].reshape(3, 2)},
        {**WEIGHTS, "b.bias": torch.ones(4).view(torch.int32)},  # the same bytes
        {"a.weight": WEIGHTS["a.weight"], "b.bias": WEIGHTS["b.bias"], "c.other": WEIGHTS["c.count"]},
        {"a.weight": WEIGHTS["a.weight"], "b.bias": WEIGHTS["b.bias"]},
    ],
    ids=["value", "shape", "type", "name", "fewer"],
)
def test_any_difference_of_the_tensors_changes_it(changed: dict[str, Tensor], tmp_path: Path) -> None:
    assert hash_of(tmp_path / "a", changed) != hash_of(tmp_path / "b", WEIGHTS)


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    network = nn.Linear(3, 3)
    about = {"model": "vae", "weights": "raw", "cell": "vae-1", "step": "3"}
    files = set()
    for n in range(8):
        save_weights(tmp_path / f"{n}.safetensors", {"decoder": network}, about)
        files.add((tmp_path / f"{n}.safetensors").read_bytes())
    assert len(files) == 1


def test_a_plan_of_an_earlier_version_knows_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(WEIGHTS))
    assert is_unchanged(path, weights_hash(path))
    assert is_unchanged(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert not is_unchanged(path, "0" * 64)


@pytest.mark.parametrize("content", [b"", b"one", b"\xff" * 64, save(WEIGHTS)[:-1], b"\x02" + bytes(7) + b"[]"])
def test_a_file_in_another_format_has_the_hash_of_its_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert weights_hash(path) == hashlib.sha256(content).hexdigest()
