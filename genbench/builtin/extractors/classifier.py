"""The extractor `classifier`: penultimate features of a small classifier that is trained on the dataset of the cell.

It is the counterpart of `fashion-cnn` for any labelled dataset: trained once, on the CPU, with a fixed seeded recipe,
and cached by the hash of the data and the versions of recipe and network. Its distance is named ``fd-cnn-<dataset>``.
The same processor and torch version give the same weights; others may round differently and so give another extractor,
as the hash in the protocol shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genbench import ExtractorData, ExtractorUnavailable, Images
from genbench.builtin.extractors import classification
from genbench.builtin.extractors.classification import ClassifierRecipe
from genbench.builtin.extractors.convolutional import FEATURES, ConvolutionalClassifier, prepare
from genbench.builtin.extractors.trained_features import SIZE, WIDTH, TrainedFeatures, ready, trained_once

RECIPE_VERSION = 1
NETWORK_VERSION = 1
BUDGET = 48_000  # training images in total: half a minute on one CPU core
MOST_EPOCHS = 30  # limit for small sets, which the budget would repeat hundreds of times
MOST_TEST = 10_000  # held-out images used to measure the accuracy
SHIFT = 2  # pixels
LEAST_SKILL = 0.1  # minimum of (accuracy - chance) / (1 - chance); below, the features are meaningless


@dataclass(frozen=True)
class Facts:
    """Facts that are stored with the weights."""

    dataset: str
    data_hash: str
    channels: int
    classes: int
    test_accuracy: float
    chance: float  # accuracy of always predicting the most frequent class of the held-out images
    recipe_version: int = RECIPE_VERSION
    network_version: int = NETWORK_VERSION
    torch: str = torch.__version__


class TrainedClassifier(TrainedFeatures):
    """The loaded extractor; see `genbench.Classifier`. Its classes are the sorted labels of the training images."""

    def __init__(
        self, network: ConvolutionalClassifier, facts: Facts, sha256: str, dataset: str, device: torch.device
    ) -> None:
        protocol: dict[str, str | int | float | bool] = {
            "weights_sha256": sha256[:16],
            "trained_on": facts.data_hash[:16],
            "recipe_version": facts.recipe_version,
            "test_accuracy": round(facts.test_accuracy, 4),
            "layer": f"penultimate, {FEATURES} features",
        }
        ready(network, device)
        super().__init__(f"fd-cnn-{dataset}", network, network.features, facts.channels, protocol, device)
        self.classifier = network.classifier

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (N, classes) of features (N, 64)."""
        logits: Tensor = self.classifier(features.to(self.device))
        return logits


def load(device: torch.device, data: ExtractorData) -> TrainedClassifier:
    """Return the classifier of this dataset: the cached one, or a new one.

    Raises `ExtractorUnavailable` where the dataset has fewer than two classes, or where the classifier is hardly better
    than predicting the most frequent class.
    """
    classes, channels = _check(data)

    def train() -> tuple[nn.Module, dict[str, Any]]:
        network, facts = _train(data, classes, channels)
        return network, vars(facts)

    cached = trained_once(data, [RECIPE_VERSION, NETWORK_VERSION], train)
    facts = Facts(**cached.facts)
    skill = (facts.test_accuracy - facts.chance) / (1 - facts.chance) if facts.chance < 1 else 0.0
    if skill < LEAST_SKILL:
        raise ExtractorUnavailable(
            f"a classifier of '{data.dataset}' is right on {facts.test_accuracy:.1%} of the held-out images, and "
            f"{facts.chance:.1%} are in one class: its features do not separate the classes; use another extractor"
        )
    network = _network(facts.channels, facts.classes)
    network.load_state_dict(cached.tensors)
    return TrainedClassifier(network, facts, cached.sha256, data.dataset, device)


def _check(data: ExtractorData) -> tuple[Tensor, int]:
    """Return the labels that occur among the training images, ascending, and the number of channels."""
    if data.train.labels is None or data.test.labels is None:
        raise ExtractorUnavailable(f"'{data.dataset}' has no labels to train a classifier on: use another extractor")
    classes = torch.unique(torch.as_tensor(data.train.labels).long())
    if len(classes) < 2:
        raise ExtractorUnavailable(f"all training images of '{data.dataset}' are in one class: use another extractor")
    channels = torch.as_tensor(data.train.pixels).shape[1]
    if channels not in (1, 3):
        raise ExtractorUnavailable(
            f"images of '{data.dataset}' have {channels} channels; a classifier takes 1 or 3: use another extractor"
        )
    return classes, channels


def _network(channels: int, classes: int) -> ConvolutionalClassifier:
    network = ConvolutionalClassifier(channels, SIZE, classes, WIDTH, normalised=True)
    return network.to(memory_format=torch.channels_last)  # twice as fast on a CPU


def _train(data: ExtractorData, classes: Tensor, channels: int) -> tuple[ConvolutionalClassifier, Facts]:
    """Return the trained network; it uses at most as many training images as the budget allows."""
    with classification.threads(1):
        pixels, labels = _tensors(data.train, BUDGET)
        recipe = ClassifierRecipe(
            epochs=max(1, min(MOST_EPOCHS, BUDGET // len(labels))),
            batch_size=min(64, max(16, len(labels) // 16)),  # small sets too have several steps per epoch
            shift=SHIFT,
        )
        network = classification.train(
            lambda: _network(channels, len(classes)),
            lambda chosen: prepare(pixels[chosen], channels, SIZE),
            torch.searchsorted(classes, labels),
            recipe,
            lambda done, total: data.show(f"training a classifier on {data.dataset}", done, total),
        )
        pixels, labels = _tensors(data.test, MOST_TEST)
        numbers = torch.searchsorted(classes, labels).clamp_max(len(classes) - 1)
        numbers[classes[numbers] != labels] = -1  # a class without training images is never predicted
        accuracy = classification.accuracy(network, lambda chosen: prepare(pixels[chosen], channels, SIZE), numbers)
    return network, Facts(
        dataset=data.dataset,
        data_hash=data.hash,
        channels=channels,
        classes=len(classes),
        test_accuracy=accuracy,
        chance=int(torch.unique(labels, return_counts=True)[1].max()) / len(labels),
    )


def _tensors(split: Images, most: int) -> tuple[Tensor, Tensor]:
    """Return pixels and int64 labels of all images, or of `most` images drawn without replacement."""
    pixels: Any = torch.as_tensor(split.pixels)
    labels = torch.as_tensor(split.labels).long()
    if len(labels) > most:
        chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:most].sort().values
        return pixels[chosen], labels[chosen]
    return pixels, labels
