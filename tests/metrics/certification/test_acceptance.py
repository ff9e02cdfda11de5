"""Fast paths: accepted if their effect on the distance is negligible, rejected otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import count
from types import MappingProxyType

import pytest
import torch
from torch import Tensor, nn

from genbench.api.evaluation import Classifier
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.features.fast_extractor import fast
from genbench.gate.extractor_acceptance import Acceptance
from genbench.metrics.certification.acceptance import compare
from genbench.metrics.evaluation import CellEvaluation
from genbench.report.certificate import acceptance_text

CPU = torch.device("cpu")


class Linear:
    """Features of a linear layer, which autocast computes with less precision, of images moved by an offset."""

    name = "fd-linear"
    whiten = True
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "only"})

    def __init__(self, offset: float) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Linear(64, 8)
            self.head = nn.Linear(8, 3)
        self.offset = offset

    def __call__(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network(pixels.flatten(1).float() / 255 + self.offset) - self.network(
            torch.full((1, 64), self.offset)
        )
        return features

    def logits(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


class NotFinite(Linear):
    def __call__(self, pixels: Tensor) -> Tensor:
        features = super().__call__(pixels)
        return features / 0 if torch.is_autocast_enabled("cpu") else features


def compared(extractor: Linear) -> Acceptance:
    def noise(n: int, seed: int) -> Images:
        rng = torch.Generator().manual_seed(seed)
        return Images(torch.randint(256, (n, 1, 8, 8), generator=rng, dtype=torch.uint8))

    evaluation = CellEvaluation(
        samples=noise(300, 1),
        train=noise(600, 0),
        test=noise(300, 1),
        device=CPU,
        extractors={"linear": ExtractorSpec(name="linear", load=lambda device: extractor)},
    )
    ticks = count()
    with torch.no_grad():
        return compare(evaluation, "linear", "noise", "abc", "bf16", False, clock=lambda: next(ticks))


def test_a_fast_path_that_only_rounds_is_accepted() -> None:
    found = compared(Linear(offset=0.0))
    assert 0 < found.difference < found.tolerated
    assert found.accepted
    assert found.fast_distance == pytest.approx(found.distance, abs=found.standard_error)
    assert (found.n, found.precision, found.speedup) == (300, "bf16", 1)
    assert acceptance_text(found).endswith("\naccepted\n")


def test_a_fast_path_with_cancellation_is_rejected() -> None:
    """A large number that is added and taken away again costs bfloat16 all of its eight bits, and float32 few."""
    found = compared(Linear(offset=1000.0))
    assert found.difference > found.tolerated
    assert not found.accepted
    assert acceptance_text(found).endswith("\nnot accepted\n")


def test_features_that_are_not_finite_are_rejected() -> None:
    found = compared(NotFinite(offset=0.0))
    assert found.difference == math.inf
    assert not found.accepted


def test_a_fast_extractor_is_named_in_its_protocol_and_stays_a_classifier() -> None:
    exact = Linear(offset=0.0)
    quick = fast(exact, CPU, "bf16")
    assert (quick.name, quick.whiten) == (exact.name, exact.whiten)
    assert dict(quick.protocol) == {"layer": "only", "precision": "bf16"}
    assert isinstance(quick, Classifier)
    features = quick(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    assert features.dtype == torch.float32
    assert torch.equal(quick.logits(features), exact.logits(features))


def test_a_fast_path_that_changes_nothing_changes_nothing() -> None:
    exact = Linear(offset=0.0)
    pixels = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(fast(exact, CPU)(pixels), exact(pixels))
    assert dict(fast(exact, CPU, compiled=True).protocol) == {"layer": "only", "compiled": True}
