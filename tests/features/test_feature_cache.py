"""Cached features: keyed by everything they depend on, recomputed if damaged, and never a cause of failure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.features.feature_cache import FeatureStore
from genbench.metrics.frechet import statistics


class Network:
    """An extractor that identifies its weights."""

    name = "fd-net/1"
    whiten = False

    def __init__(self, weights: str = "abc", **protocol: str) -> None:
        self.protocol: Mapping[str, str | int | float | bool] = {"weights_sha256": weights, **protocol}

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.float().flatten(1)


class Maker:
    """Returns the same features at every call, and counts the calls."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> Tensor:
        self.asked += 1
        return torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def store(cache: Path) -> FeatureStore:
    return FeatureStore(cache, data="d" * 64, device="cpu", batch_size=16)


def kept(cache: Path, suffix: str = ".safetensors") -> Path:
    (path,) = (cache / "features").glob(f"*{suffix}")
    return path


def test_features_and_their_gaussian_are_computed_once_and_read_bit_for_bit(tmp_path: Path) -> None:
    make, fitted = Maker(), []

    def fit() -> Statistics:
        fitted.append(statistics(make()))
        return fitted[-1]

    for _ in range(3):
        found = store(tmp_path).features(Network(), "train", 20, make)
        assert torch.equal(found, Maker()())
    assert make.asked == 1
    gaussians = [store(tmp_path).statistics(Network(), "train", fit) for _ in range(3)]
    assert len(fitted) == 1
    assert all(torch.equal(g.factor, fitted[0].factor) and torch.equal(g.mean, fitted[0].mean) for g in gaussians)
    assert gaussians[-1].n == 20
    assert sorted(path.suffix for path in (tmp_path / "features").iterdir()) == [".npz", ".safetensors"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda s, make: s.features(Network("def"), "train", 20, make),
        lambda s, make: s.features(Network(layer="other"), "train", 20, make),
        lambda s, make: s.features(Network(), "test", 20, make),
        lambda s, make: dataclasses.replace(s, data="e" * 64).features(Network(), "train", 20, make),
        lambda s, make: dataclasses.replace(s, device="cuda").features(Network(), "train", 20, make),
        lambda s, make: dataclasses.replace(s, batch_size=8).features(Network(), "train", 20, make),
    ],
)
def test_everything_that_features_depend_on_is_part_of_the_key(
    tmp_path: Path, ask: Callable[[FeatureStore, Maker], Tensor]
) -> None:
    make = Maker()
    store(tmp_path).features(Network(), "train", 20, make)
    ask(store(tmp_path), make)
    assert make.asked == 2
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_the_versions_of_torch_and_of_this_code_are_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    store(tmp_path).features(Network(), "train", 20, make)
    monkeypatch.setattr("genbench.features.feature_cache.FEATURES_VERSION", -1)
    store(tmp_path).features(Network(), "train", 20, make)
    monkeypatch.setattr(torch, "__version__", "0.4.1")
    store(tmp_path).features(Network(), "train", 20, make)
    assert make.asked == 3


def test_an_extractor_that_does_not_identify_its_weights_is_not_cached(tmp_path: Path) -> None:
    make, network = Maker(), Network()
    network.protocol = {"layer": "last"}
    for _ in range(2):
        store(tmp_path).features(network, "train", 20, make)
    assert make.asked == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "header", "value", "rows"])
def test_a_damaged_entry_is_recomputed(tmp_path: Path, damage: str) -> None:
    make, rows = Maker(), 20
    store(tmp_path).features(Network(), "train", rows, make)
    path = kept(tmp_path)
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            content = content[:-5]
        case "longer":
            content += b"more!"
        case "empty":
            content = bytearray()
        case "header":
            content[12] ^= 8
        case "value":
            content[-3] ^= 1
        case "rows":
            rows = 21
    path.write_bytes(content)
    assert torch.equal(store(tmp_path).features(Network(), "train", rows, make), Maker()())
    assert make.asked == 2
    if rows == 20:
        store(tmp_path).features(Network(), "train", rows, make)
        assert make.asked == 2  # and repaired


@pytest.mark.parametrize("place", [40, -60])
def test_a_damaged_gaussian_is_recomputed(tmp_path: Path, place: int) -> None:
    make = Maker()
    expected = store(tmp_path).statistics(Network(), "train", lambda: statistics(make()))
    path = kept(tmp_path, ".npz")
    path.write_bytes(path.read_bytes()[:place])
    found = [store(tmp_path).statistics(Network(), "train", lambda: statistics(make())) for _ in range(2)]
    assert all(torch.equal(gaussian.factor, expected.factor) for gaussian in found)
    assert make.asked == 2


@pytest.mark.parametrize("fault", ["write", "mkdir", "replace"])
def test_a_failed_write_costs_only_the_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr({"write": os, "mkdir": Path, "replace": os}[fault], fault, refuse)
    make = Maker()
    assert torch.equal(store(tmp_path).features(Network(), "train", 20, make), Maker()())
    assert store(tmp_path).statistics(Network(), "train", lambda: statistics(make())).n == 20
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_failed_network_leaves_no_entry(tmp_path: Path) -> None:
    def fail() -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store(tmp_path).features(Network(), "train", 20, fail)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
