"""The metric `cas`: the accuracy on real images of a classifier that was trained on samples.

The classification accuracy score (Ravuri and Vinyals, 2019, arXiv:1905.10887): samples of a conditional model, with the
classes that they were drawn for, train a classifier, which then classifies the held-out images. It is low if samples do
not show their class, and if they lack what tells real images of a class from those of others. The classifier is the
small one of the extractor `classifier`, not the ResNet-50 of the paper: compare values of this protocol alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.builtin.extractors import classification
from genbench.builtin.extractors.classification import ClassifierRecipe
from genbench.builtin.extractors.convolutional import ConvolutionalClassifier, prepare
from genbench.metrics.feature_sets import all_among
from genbench.metrics.standard_errors import mean_and_standard_error

NAME = "cas"
SEEDS = 3  # classifiers, which differ in their initial weights and the order of images
SIZE = 32  # pixels, height and width of the classifier's input
WIDTH = 16  # channels of its first layer
BUDGET = 48_000  # images that each classifier is trained on, with repetitions: half a minute of one CPU core
MOST_EPOCHS = 15  # for small sets, which the budget would repeat hundreds of times
SHIFT = 2  # pixels
_AT_ONCE = 500

Correct = Tensor  # (SEEDS, N) bool: whether each classifier is right on each held-out image


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean accuracy of three classifiers on the held-out images; it takes minutes.

    The standard error covers the held-out images and the classifiers' seeds, not the drawing of samples. `null` is the
    accuracy of the same classifiers trained on as many training images; there is none where there are fewer of them.
    """
    samples, train, test = evaluation.samples, evaluation.train, evaluation.test
    if samples.labels is None:
        return Unavailable(NAME, "the samples have no classes: it needs a conditional model.")
    if train.labels is None or test.labels is None:
        return Unavailable(NAME, "the dataset has no labels.")
    pixels, labels = torch.as_tensor(samples.pixels), torch.as_tensor(samples.labels).long()
    held_out, truth = torch.as_tensor(test.pixels), torch.as_tensor(test.labels).long()
    if pixels.shape[1] not in (1, 3):
        return Unavailable(NAME, f"a classifier takes 1 or 3 channels; the images have {pixels.shape[1]}.")
    if len(torch.unique(labels)) < 2 or len(truth) < 2:
        return Unavailable(NAME, "it needs samples of at least two classes, and at least two held-out images.")
    if all_among(pixels, held_out):
        return Unavailable(NAME, "the samples are held-out images, on which classifiers are tested.")
    found = correct(pixels, labels, held_out, truth, SEEDS)
    n = len(pixels)

    def of_training_images() -> float:
        chosen = torch.randperm(len(train.pixels), generator=torch.Generator().manual_seed(0))[:n]
        real = torch.as_tensor(train.pixels)[chosen], torch.as_tensor(train.labels).long()[chosen]
        return float(correct(*real, held_out, truth, SEEDS).double().mean())

    null = evaluation.of_data(f"{NAME} of {n}", of_training_images) if len(train.pixels) >= n else None
    value, error = accuracy_and_error(found)
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=error,
        n=n,
        direction="higher",
        protocol={
            "classifier": f"convolutional, {SIZE}x{SIZE}, {WIDTH} channels",
            "training": f"{BUDGET} images, at most {MOST_EPOCHS} epochs",
            "classifier_seeds": SEEDS,
            "test_split": "test",
            "n_test": len(truth),
            "n_training": n,
        },
        null=null,
    )


def accuracy_and_error(correct: Correct) -> tuple[float, float | None]:
    """Return the mean accuracy and its error from held-out images and classifiers, which are drawn independently."""
    value, of_images = mean_and_standard_error(correct.double().mean(0))
    of_seeds = mean_and_standard_error(correct.double().mean(1))[1]
    return value, None if of_images is None or of_seeds is None else math.hypot(of_images, of_seeds)


def correct(pixels: Tensor, labels: Tensor, held_out: Tensor, truth: Tensor, seeds: int) -> Correct:
    """Return whether classifiers trained on images (n, channels, h, w), uint8, and labels (n,) know others (N, …).

    (seeds, N) bool. A class that the training set lacks is never right.
    """
    classes = torch.unique(labels)
    numbers, channels = torch.searchsorted(classes, labels), pixels.shape[1]

    def take(images: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda rows: prepare(images[rows], channels, SIZE)

    found = []
    with classification.threads(1):  # the same weights whatever the number of threads
        for seed in range(seeds):
            recipe = ClassifierRecipe(
                epochs=max(1, min(MOST_EPOCHS, BUDGET // len(labels))),
                batch_size=min(64, max(16, len(labels) // 16)),
                shift=SHIFT,
                seed=seed,
            )
            network = classification.train(
                lambda: ConvolutionalClassifier(channels, SIZE, len(classes), WIDTH, normalised=True),
                take(pixels),
                numbers,
                recipe,
            )
            with torch.inference_mode():
                rows = torch.split(torch.arange(len(held_out)), _AT_ONCE)
                guesses = torch.cat([network(take(held_out)(some)).argmax(1) for some in rows])
            found.append(classes[guesses] == truth)
    return torch.stack(found)
