"""The interface of every trainer in a comparison, and the loop that serves requests in its process.

A trainer trains a number of steps on images in the form in which it stores them, and reads its losses on the host in
its own way. Its initial weights are copies of those of genbench's networks at seed 0.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from genbench.measure.clock import synchronise

Losses = dict[str, list[float]]  # by name, one value per step: the mean over the batch


@dataclass(frozen=True)
class Setting:
    """The settings that all trainers of a case share."""

    model: str  # genbench's model, whose networks all trainers train
    batch_size: int
    device: torch.device
    folder: Path | None  # PNG files; None: the grey images in memory
    precision: str = "fp32"
    engine: str = "eager"
    workers: int = 0  # of a DataLoader
    recipe: Mapping[str, Any] = field(default_factory=dict)  # of genbench, where it differs from the model's defaults
    step_tuning: str = "auto"  # of genbench


class Trainer(Protocol):
    """One way to train the networks."""

    @property
    def networks(self) -> list[nn.Module]:
        """The networks, with their present weights."""

    def train(self, steps: int) -> Losses:
        """Train and return the loss of each step."""


class EndlessLoader:
    """Batches of a DataLoader, epoch after epoch; a loop over it ends after the number of batches set by `take`.

    This keeps work that a library does once per epoch, such as writing a checkpoint, out of a window.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader, self.steps = loader, 0
        self.batch_size, self.dataset = loader.batch_size, loader.dataset
        self._batches = self._epochs()

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        return (next(self._batches) for _ in range(self.steps))

    def take(self, steps: int) -> EndlessLoader:
        """Set the number of batches of the next loop."""
        self.steps = steps
        return self

    def _epochs(self) -> Iterator[Any]:
        while True:
            yield from self.loader


def parameters_of(networks: Iterable[nn.Module]) -> list[Tensor]:
    """Return the parameters of networks in their own order."""
    return [parameter.detach() for network in networks for parameter in network.parameters()]


@torch.no_grad()
def copy_parameters(source: Iterable[nn.Module], to: Iterable[nn.Module]) -> None:
    """Copy weights between networks with the same layers; raise ValueError if shapes differ."""
    sources, targets = parameters_of(source), parameters_of(to)
    if [p.shape for p in sources] != [p.shape for p in targets]:
        raise ValueError("the networks are not the same")
    for target, values in zip(targets, sources, strict=True):
        target.copy_(values)


def serve(trainer: Trainer, setting: Setting, answers: int) -> None:
    """Answer requests from stdin, one JSON document per line, on the descriptor `answers`, until stdin is closed."""
    first = [p.cpu().clone() for p in parameters_of(trainer.networks)]
    digest = hashlib.sha256(b"".join(p.contiguous().numpy().tobytes() for p in first)).hexdigest()
    hello = {"parameters": sum(p.numel() for p in first), "weights": digest, "peak_gflops": peak_gflops()}
    _answer(answers, hello | {"step_options": getattr(trainer, "step_options", {})})
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("count"):
            _answer(answers, {"flops": count_flops(trainer)})
            continue
        synchronise(setting.device)
        begin, busy = time.perf_counter(), time.process_time()
        losses = trainer.train(request["steps"])
        synchronise(setting.device)
        found: dict[str, Any] = {
            "seconds": time.perf_counter() - begin,
            "processor_seconds": time.process_time() - busy,
            "losses": losses,
        }
        if request["moved"]:
            found["moved"] = _relative_distance(first, parameters_of(trainer.networks))
        _answer(answers, found)


def count_flops(trainer: Trainer) -> int:
    """Return the floating-point operations of matrix products and convolutions in one step, which is done."""
    counter = FlopCounterMode(display=False)
    fit = getattr(trainer, "fit", None)  # a loop in a thread of its own, where operations have to be counted
    if fit is not None:
        fit.train(1, inside=counter)
    else:
        with counter:
            trainer.train(1)
    return counter.get_total_flops()


def peak_gflops(size: int = 1536, repeats: int = 5) -> float:
    """Return the speed of a square fp32 matrix product on the processor in 10⁹ operations per second, the best seen."""
    factor = torch.randn(size, size)
    torch.mm(factor, factor)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        torch.mm(factor, factor)
        seconds.append(time.perf_counter() - begin)
    return 2e-9 * size**3 / min(seconds)


def reserve_stdout() -> int:
    """Return a descriptor of stdout, and redirect everything that libraries print to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def _answer(descriptor: int, document: dict[str, Any]) -> None:
    text = json.dumps(document) + "\n"
    with os.fdopen(os.dup(descriptor), "w") as stream:
        stream.write(text)


def _relative_distance(before: list[Tensor], after: list[Tensor]) -> float:
    """Return ‖after - before‖ / ‖before‖ over all parameters."""
    moved = sum(float((b.cpu() - a).square().sum()) for a, b in zip(before, after, strict=True))
    return math.sqrt(moved / sum(float(a.square().sum()) for a in before))
