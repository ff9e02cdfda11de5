"""Training the small classifiers: seeded, on the CPU, so that the same processor reproduces the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_AT_ONCE = 500  # images that are classified at a time

Network = TypeVar("Network", bound=nn.Module)
Take = Callable[[Tensor], Tensor]  # row numbers (B,) -> float images (B, channels, height, width) in [0, 1]


@dataclass(frozen=True)
class ClassifierRecipe:
    """All settings of the training: AdamW with a one-cycle learning rate."""

    epochs: int
    batch_size: int = 64
    learning_rate: float = 3e-3  # peak of one cycle
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    shift: int = 1  # pixels, maximum random translation in each direction
    mirror: bool = False  # flip half of the images horizontally: right for clothes and faces, wrong for digits
    seed: int = 0


def train(
    build: Callable[[], Network],
    take: Take,
    labels: Tensor,
    recipe: ClassifierRecipe,
    show: Callable[[int, int], object] = lambda done, total: None,
) -> Network:
    """Return the network that `build` returns, trained on the images that `take` returns and int64 labels (N,).

    Before each step, `show` learns how many images have been seen, and out of how many.
    """
    rng = torch.Generator().manual_seed(recipe.seed)
    size = min(recipe.batch_size, len(labels))
    batches = len(labels) // size
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(recipe.seed)  # initial weights and dropout use the global generator
        network = build().train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=recipe.learning_rate, total_steps=recipe.epochs * batches
        )
        for epoch in range(recipe.epochs):
            order = torch.randperm(len(labels), generator=rng)
            for batch, chosen in enumerate(torch.split(order[: batches * size], size)):
                show((epoch * batches + batch) * size, recipe.epochs * batches * size)
                logits = network(augment(take(chosen), recipe, rng))
                loss = F.cross_entropy(logits, labels[chosen], label_smoothing=recipe.label_smoothing)
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
    return network.eval()


def augment(images: Tensor, recipe: ClassifierRecipe, rng: torch.Generator) -> Tensor:
    """Return images (N, channels, H, W), shifted by up to `shift` pixels, and with `mirror` half of them flipped."""
    count, channels, height, width = images.shape
    if recipe.mirror:
        mirrored = torch.rand(count, generator=rng) < 0.5
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
    padded = F.pad(images, [recipe.shift] * 4)
    top, left = torch.randint(2 * recipe.shift + 1, (2, count, 1, 1, 1), generator=rng)
    rows = top + torch.arange(height).view(1, 1, -1, 1)
    columns = left + torch.arange(width).view(1, 1, 1, -1)
    image, channel = torch.arange(count).view(-1, 1, 1, 1), torch.arange(channels).view(1, -1, 1, 1)
    return padded[image, channel, rows, columns]


@torch.inference_mode()
def accuracy(network: nn.Module, take: Take, labels: Tensor) -> float:
    """Return the fraction of images to which `network` assigns their label, int64 (N,)."""
    parts = torch.split(torch.arange(len(labels)), _AT_ONCE)
    correct = [network(take(chosen)).argmax(1) == labels[chosen] for chosen in parts]
    return float(torch.cat(correct).double().mean())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with this many threads: the order of sums, and so the last bits of the weights, depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
