"""The extractor that is trained on the dataset: once, reproducibly, and only where it can learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genbench import Classifier, ExtractorData, ExtractorUnavailable, Images
from genbench.builtin.extractors import (
    classification,
    classifier,
    fashion_cnn,
    weights_cache,
)
from genbench.builtin.extractors.classifier import TrainedClassifier, load
from genbench.builtin.extractors.convolutional import prepare

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of these trainings need not converge."""
    monkeypatch.setattr(classifier, "BUDGET", 48)
    monkeypatch.setattr(classifier, "LEAST_SKILL", -10.0)


@pytest.fixture
def in_earnest(monkeypatch: pytest.MonkeyPatch, a_moment: None) -> None:
    monkeypatch.setattr(classifier, "BUDGET", 1280)
    monkeypatch.setattr(classifier, "LEAST_SKILL", 0.1)


def stripes(n: int, shape: tuple[int, int, int] = (1, 16, 16), classes: int = 2, seed: int = 0) -> Images:
    """Noisy images whose class is the direction or the width of their stripes."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    channels, height, width = shape
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    patterns = [(torch.zeros(height, width) + (line // 4 % 2)) for line in (rows, columns, rows + columns)]
    pictures = torch.stack([patterns[label] for label in labels.tolist()]).unsqueeze(1).expand(-1, channels, -1, -1)
    grain = torch.randint(0, 60, (n, *shape), generator=rng)
    return Images((pictures * 180 + grain).to(torch.uint8), labels)


def given(cache: Path, hash: str = "abc", **changes: Any) -> ExtractorData:
    known: dict[str, Any] = {"train": stripes(128), "test": stripes(60, seed=1), **changes}
    return ExtractorData("stripes", hash, cache=cache, **known)


def weights(extractor: TrainedClassifier) -> str:
    return weights_cache.weights_hash(extractor.network.state_dict())


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of labels of each training that took place."""
    found: list[int] = []
    train: Callable[..., Any] = classification.train

    def counted(build: Any, take: Any, labels: Tensor, recipe: Any, show: Any) -> Any:
        found.append(len(labels))
        return train(build, take, labels, recipe, show)

    monkeypatch.setattr(classification, "train", counted)
    return found


# Training


def test_two_trainings_give_the_same_weights_whatever_the_global_state(tmp_path: Path) -> None:
    first = load(CPU, given(tmp_path / "a"))
    torch.rand(7)  # the global source of randomness has moved on
    threads = torch.get_num_threads()
    second = load(CPU, given(tmp_path / "b"))
    assert torch.get_num_threads() == threads
    assert weights(first) == weights(second)
    assert dict(first.protocol) == dict(second.protocol)
    (one,), (other,) = ((tmp_path / part / "extractors").iterdir() for part in "ab")
    assert one.read_bytes() == other.read_bytes()


def test_it_learns_and_reports_its_accuracy(in_earnest: None, tmp_path: Path) -> None:
    data = given(tmp_path)
    extractor = load(CPU, data)
    with torch.inference_mode():
        predicted = extractor.logits(extractor(torch.as_tensor(data.test.pixels))).argmax(1)
    accuracy = float((predicted == torch.as_tensor(data.test.labels)).double().mean())
    assert accuracy > 0.9
    assert extractor.protocol["test_accuracy"] == pytest.approx(accuracy, abs=1e-4)


def test_training_works_inside_inference_mode(tmp_path: Path) -> None:
    with torch.inference_mode():
        inside = load(CPU, given(tmp_path / "a"))
    assert weights(inside) == weights(load(CPU, given(tmp_path / "b")))


def test_only_a_part_of_a_large_set_is_used(trainings: list[int], tmp_path: Path) -> None:
    load(CPU, given(tmp_path))
    assert trainings == [48]


# What is kept


def test_it_is_trained_once_for_the_same_data(trainings: list[int], tmp_path: Path) -> None:
    first = load(CPU, given(tmp_path))
    again = load(CPU, given(tmp_path))
    assert len(trainings) == 1
    assert weights(first) == weights(again)
    load(CPU, given(tmp_path, hash="def"))
    assert len(trainings) == 2


@pytest.mark.parametrize(
    "damage", [lambda old: b"", lambda old: old[:-40], lambda old: old[:-1] + bytes([old[-1] ^ 1])]
)
def test_a_damaged_file_is_replaced_by_a_new_training(
    damage: Callable[[bytes], bytes], trainings: list[int], tmp_path: Path
) -> None:
    load(CPU, given(tmp_path))
    (file,) = (tmp_path / "extractors").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    load(CPU, given(tmp_path))
    assert len(trainings) == 2
    assert [path.read_bytes() for path in (tmp_path / "extractors").iterdir()] == [whole]


def test_of_two_simultaneous_trainings_both_use_the_first_to_finish(tmp_path: Path) -> None:
    path = tmp_path / "extractors" / "one.safetensors"
    first = weights_cache.write(path, {"w": torch.zeros(2)}, {"by": "first"})
    second = weights_cache.write(path, {"w": torch.ones(2)}, {"by": "second"})
    assert (first.facts, second.facts) == ({"by": "first"}, {"by": "first"})
    assert torch.equal(second.tensors["w"], torch.zeros(2))
    assert [file.name for file in path.parent.iterdir()] == ["one.safetensors"]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load(CPU, given(tmp_path / "file")).name == "fd-cnn-stripes"


# What it is


def test_its_name_and_protocol_state_what_it_was_trained_on(tmp_path: Path) -> None:
    extractor = load(CPU, given(tmp_path, hash="0123456789abcdef0123"))
    assert isinstance(extractor, Classifier)
    assert extractor.name == "fd-cnn-stripes"
    assert extractor.whiten
    assert extractor.protocol["trained_on"] == "0123456789abcdef"
    assert weights(extractor).startswith(str(extractor.protocol["weights_sha256"]))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 24), (3, 40, 40)])
def test_grey_and_colour_of_any_size(shape: tuple[int, int, int], tmp_path: Path) -> None:
    data = given(tmp_path, train=stripes(96, shape, 3), test=stripes(60, shape, 3, seed=1))
    extractor = load(CPU, data)
    for other in (shape, (1, 28, 28), (3, 64, 64)):
        features = extractor(torch.as_tensor(stripes(4, other).pixels))
        assert features.shape == (4, 64)
        assert extractor.logits(features).shape == (4, 3)


def test_labels_need_not_start_at_zero(in_earnest: None, tmp_path: Path) -> None:
    train, test = stripes(128), stripes(60, seed=1)
    moved = [Images(split.pixels, torch.as_tensor(split.labels) * 5 + 2) for split in (train, test)]
    extractor = load(CPU, given(tmp_path, train=moved[0], test=moved[1]))
    assert extractor.logits(extractor(torch.as_tensor(test.pixels))).shape == (60, 2)
    assert float(extractor.protocol["test_accuracy"]) > 0.9


def test_no_feature_is_dead(in_earnest: None, tmp_path: Path) -> None:
    """Whitening by the variance of a constant feature would let one odd sample dominate the distance."""
    data = given(tmp_path)
    with torch.inference_mode():
        features = load(CPU, data)(torch.as_tensor(data.train.pixels))
    assert features.std(0).min() > 0.01 * features.std(0).max()


# Where there is nothing to learn


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train": Images(torch.zeros(9, 1, 16, 16, dtype=torch.uint8))}, "no labels"),
        ({"test": Images(torch.zeros(9, 1, 16, 16, dtype=torch.uint8))}, "no labels"),
        ({"train": stripes(128, classes=1)}, "in one class"),
        ({"train": stripes(128, (2, 16, 16))}, "2 channels"),
    ],
)
def test_data_without_several_classes_are_refused(
    changes: dict[str, Images], reason: str, trainings: list[int], tmp_path: Path
) -> None:
    with pytest.raises(ExtractorUnavailable, match=reason):
        load(CPU, given(tmp_path, **changes))
    assert not trainings


def test_a_classifier_that_learned_nothing_is_refused_each_time_and_trained_once(
    in_earnest: None, trainings: list[int], tmp_path: Path
) -> None:
    def guesses(split: Images, seed: int) -> Images:
        rng = torch.Generator().manual_seed(seed)
        return Images(split.pixels, torch.randint(0, 2, (len(split.pixels),), generator=rng))

    data = given(tmp_path, train=guesses(stripes(128), 0), test=guesses(stripes(200, seed=1), 1))
    for _ in range(2):
        with pytest.raises(ExtractorUnavailable, match="use another extractor"):
            load(CPU, data)
    assert len(trainings) == 1


def test_a_network_for_colour_sees_grey_repeated_three_times() -> None:
    grey = torch.as_tensor(stripes(2).pixels)
    assert torch.equal(prepare(grey, 3, 16), prepare(grey.expand(-1, 3, -1, -1), 3, 16))


def test_fashion_cnn_classifies_by_its_features() -> None:
    extractor = fashion_cnn.load(CPU)
    assert isinstance(extractor, Classifier)
    pixels = torch.as_tensor(stripes(3, (1, 28, 28)).pixels)
    with torch.inference_mode():
        expected = extractor.network(fashion_cnn.preprocess(pixels))
        torch.testing.assert_close(extractor.logits(extractor(pixels)), expected)
