"""Features learned without labels: reproducibly, once, whole or not at all, and fit to rank corrupted images."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from genbench import ExtractorData, ExtractorUnavailable, Images
from genbench.api.specs import ExtractorSpec
from genbench.builtin.extractors import classifier, learned, self_supervised, weights_cache
from genbench.builtin.extractors.classifier import TrainedClassifier
from genbench.builtin.extractors.self_supervised import SelfSupervised, contrast, load
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.frechet_distance import measure

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of these trainings need not converge."""
    monkeypatch.setattr(self_supervised, "BUDGET", 128)
    monkeypatch.setattr(classifier, "BUDGET", 48)


def discs(n: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Discs of random place, size and brightness, with a little noise: uint8 (n, channels, 16, 16)."""
    rng = torch.Generator().manual_seed(seed)
    row, column = torch.arange(16).view(1, -1, 1), torch.arange(16).view(1, 1, -1)
    y, x, radius, level = (
        low + (high - low) * torch.rand(n, 1, 1, generator=rng) for low, high in ((3, 13), (3, 13), (2, 6), (80, 220))
    )
    pictures = level * (((row - y) ** 2 + (column - x) ** 2) < radius**2)
    noisy = pictures + 8 * torch.randn(n, 16, 16, generator=rng) + 10
    return noisy.clamp(0, 255).to(torch.uint8).unsqueeze(1).expand(-1, channels, -1, -1).contiguous()


def given(cache: Path, hash: str = "abc", **changes: Any) -> ExtractorData:
    known: dict[str, Any] = {"train": Images(discs(96)), "test": Images(discs(40, seed=1)), **changes}
    return ExtractorData("discs", hash, cache=cache, **known)


def weights(extractor: SelfSupervised) -> str:
    return weights_cache.weights_hash(extractor.network.state_dict())


def test_the_loss_is_the_cross_entropy_of_the_partner() -> None:
    """Two pairs of unit vectors at known angles: exp(cos/t) of the partner over that of the three others."""
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])  # partners are parallel
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2))
    assert float(contrast(rows, 0.5)) == pytest.approx(expected, rel=1e-6)


def test_two_trainings_give_the_same_weights_whatever_the_global_state(tmp_path: Path) -> None:
    first = load(CPU, given(tmp_path / "a"))
    torch.rand(7)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        second = load(CPU, given(tmp_path / "b"))
    assert torch.get_num_threads() == threads
    assert weights(first) == weights(second)
    assert first.name == "fd-ssl-discs"
    assert (
        first.protocol["weights_sha256"]
        == weights_cache.read(next((tmp_path / "a").rglob("*.safetensors"))).sha256[:16]
    )  # type: ignore[union-attr]


def test_it_is_trained_once_for_the_same_data_and_says_how_far_it_is(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    for hash in ("abc", "abc", "def"):
        load(CPU, ExtractorData(**{**vars(given(tmp_path, hash)), "show": lambda *what: said.append(what)}))
    steps = 128 // 48
    assert [(what, done) for what, done, _ in said] == [
        ("training self-supervised features on discs", 48 * step) for step in range(steps)
    ] * 2
    assert {total for _, _, total in said} == {48 * steps}


@pytest.mark.parametrize(
    ("images", "reason"), [(discs(15), "15 training images; at least 16"), (discs(40, channels=2), "2 channels")]
)
def test_data_that_teach_nothing_are_refused(images: torch.Tensor, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ExtractorUnavailable, match=reason):
        load(CPU, given(tmp_path, train=Images(images)))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_have_features(channels: int, tmp_path: Path) -> None:
    extractor = load(CPU, given(tmp_path, train=Images(discs(40, channels))))
    pixels = torch.randint(256, (2, 3, 20, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features = extractor(pixels)
    assert features.shape == (2, 64)
    assert bool(features.isfinite().all())


def _train_until_killed(cache: Path) -> None:
    def die(what: str, done: int, total: int) -> None:
        if done:
            os.kill(os.getpid(), signal.SIGKILL)

    load(CPU, ExtractorData(**{**vars(given(cache)), "show": die}))


def test_a_killed_training_leaves_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=_train_until_killed, args=(tmp_path / "a",))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not list((tmp_path / "a").rglob("*.safetensors"))
    assert weights(load(CPU, given(tmp_path / "a"))) == weights(load(CPU, given(tmp_path / "b")))


def test_the_distance_ranks_real_images_before_corrupted_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_supervised, "BUDGET", 640)
    train, test = Images(discs(200)), Images(discs(200, seed=1))
    data = given(tmp_path, train=train, test=test)
    spec = ExtractorSpec(
        name="ssl", summary="x", load="genbench.builtin.extractors.self_supervised:load", needs_data=True
    )
    noise = torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    found = []
    for deviation in (0, 25, 50, 100):
        samples = (torch.as_tensor(test.pixels) + deviation * noise).clamp(0, 255).to(torch.uint8)
        evaluation = CellEvaluation(
            samples=Images(samples), train=train, test=test, device=CPU, extractors={"ssl": spec}, data=data
        )
        found.append(measure(evaluation, "ssl"))
    values = [one.value for one in found]  # type: ignore[union-attr]
    assert found[0].metric == "fd-ssl-discs"
    assert values == sorted(values)
    assert values[1] > 1.2 * values[0]
    assert values[0] < 2 * found[0].null  # type: ignore[union-attr,operator]


# `learned`


def labels(n: int) -> torch.Tensor:
    return torch.arange(n) % 2


def test_labels_that_can_be_learned_give_a_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "LEAST_SKILL", -10.0)
    data = given(tmp_path, train=Images(discs(96), labels(96)), test=Images(discs(40, seed=1), labels(40)))
    found = learned.load(CPU, data)
    assert isinstance(found, TrainedClassifier)
    assert found.name == "fd-cnn-discs"
    assert dict(found.protocol) == dict(classifier.load(CPU, data).protocol)


@pytest.mark.parametrize("labelled", [False, True])
def test_no_labels_or_those_that_cannot_be_learned_give_self_supervised_features(
    labelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "LEAST_SKILL", 10.0)
    given_labels = (labels(96), labels(40)) if labelled else (None, None)
    data = given(tmp_path, train=Images(discs(96), given_labels[0]), test=Images(discs(40, seed=1), given_labels[1]))
    found = learned.load(CPU, data)
    assert isinstance(found, SelfSupervised)
    assert weights(found) == weights(load(CPU, data))
