"""What every side of a comparison has, and how one is asked to train in a process of its own.

A side trains a number of steps from images as it keeps them, and reads its losses on the host as it does. Its first
weights are those of genbench's networks at seed 0, copied.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

Losses = dict[str, list[float]]  # by name, one value per step; a mean over the images of the batch


@dataclass(frozen=True)
class Setting:
    """What the sides of a case have in common."""

    model: str  # of genbench, whose networks all sides train
    batch_size: int
    device: torch.device
    folder: Path | None  # PNG files; None: the grey images in memory
    precision: str = "fp32"
    engine: str = "eager"
    workers: int = 0  # of a DataLoader


class Side(Protocol):
    """One way to train the networks."""

    networks: list[nn.Module]

    def train(self, steps: int) -> Losses:
        """Train and return the loss of each step."""


class Endless:
    """Batches of a DataLoader, epoch after epoch, handed out so many at a time: `for batch in endless` ends after them.

    What a library does once per epoch, such as to write a checkpoint, can so be left out of a window.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader, self.steps = loader, 0
        self.batch_size, self.dataset = loader.batch_size, loader.dataset
        self._batches = self._epochs()

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        return (next(self._batches) for _ in range(self.steps))

    def take(self, steps: int) -> Endless:
        """Set how many batches the next loop gets."""
        self.steps = steps
        return self

    def _epochs(self) -> Iterator[Any]:
        while True:
            yield from self.loader


def parameters_of(networks: Iterable[nn.Module]) -> list[Tensor]:
    """Return the parameters of networks in the order in which they hold them."""
    return [parameter.detach() for network in networks for parameter in network.parameters()]


@torch.no_grad()
def copy_parameters(source: Iterable[nn.Module], to: Iterable[nn.Module]) -> None:
    """Give networks of the same layers the same weights; raise ValueError where shapes differ."""
    taken, given = parameters_of(source), parameters_of(to)
    if [p.shape for p in taken] != [p.shape for p in given]:
        raise ValueError("the networks are not the same")
    for mine, theirs in zip(given, taken, strict=True):
        mine.copy_(theirs)


def serve(side: Side, setting: Setting, answers: int) -> None:
    """Answer requests on standard input, one JSON document a line, on the descriptor `answers`, until it ends."""
    first = [p.cpu().clone() for p in parameters_of(side.networks)]
    digest = hashlib.sha256(b"".join(p.contiguous().numpy().tobytes() for p in first)).hexdigest()
    _answer(answers, {"parameters": sum(p.numel() for p in first), "weights": digest})
    for line in sys.stdin:
        asked = json.loads(line)
        synchronise(setting.device)
        begin, busy = time.perf_counter(), time.process_time()
        losses = side.train(asked["steps"])
        synchronise(setting.device)
        found: dict[str, Any] = {
            "seconds": time.perf_counter() - begin,
            "processor_seconds": time.process_time() - busy,
            "losses": losses,
        }
        if asked["moved"]:
            found["moved"] = _distance(first, parameters_of(side.networks))
        _answer(answers, found)


def private_output() -> int:
    """Return a descriptor of what was standard output; what libraries print goes to standard error from now on."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _answer(descriptor: int, document: dict[str, Any]) -> None:
    text = json.dumps(document) + "\n"
    with os.fdopen(os.dup(descriptor), "w") as stream:
        stream.write(text)


def _distance(before: list[Tensor], after: list[Tensor]) -> float:
    """Return ‖after - before‖ / ‖before‖ over all parameters."""
    moved = sum(float((b.cpu() - a).square().sum()) for a, b in zip(before, after, strict=True))
    return math.sqrt(moved / sum(float(a.square().sum()) for a in before))
