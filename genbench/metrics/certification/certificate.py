"""The certificate of an extractor: the floor of its distance, and ladders of images that are spoilt by degrees.

The floor is the distance of held-out from training images, under the protocol of the metric itself. The rungs of a
ladder are distances from the same training images. The bias of a finite number of images is taken off each by the
jackknife, K θ - (K - 1) θ̄: a set from which classes were dropped is smaller, and would seem further by that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Extractor, Statistics
from genbench.errors import DataError
from genbench.features.extract import extract
from genbench.gate.extractor_certificate import Certificate, Ladder, Rung
from genbench.metrics import frechet_distance as metric
from genbench.metrics.certification.corruptions import CORRUPTIONS, class_counts
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.frechet import changes_without, frechet_distance, statistics, whiten
from genbench.metrics.standard_errors import BLOCKS, jackknife, make_blocks, standard_error_from_replicates

FEWEST = 2 * BLOCKS  # images of a rung: two in each block that the jackknife leaves out

Progress = Callable[[str], None]


def certify(
    evaluation: CellEvaluation, extractor: str, dataset: str, data_hash: str, progress: Progress
) -> Certificate:
    """Return the certificate of an extractor by an evaluation whose samples are held-out images, with their labels.

    Raises `DataError` for fewer than 40 held-out images, and what loading the extractor and measuring raises.
    """
    pixels = torch.as_tensor(evaluation.samples.pixels)
    if len(pixels) < FEWEST:
        raise DataError(
            f"'{dataset}' has {len(pixels)} held-out images; a certificate needs {FEWEST}.",
            "Choose another --dataset, or more --samples.",
        )
    progress("floor")
    floor = metric.measure(evaluation, extractor)
    if not isinstance(floor, Estimate):
        raise DataError(f"'{extractor}' gives no distance: {floor.reason}")
    ruler = _Ruler.of(evaluation, extractor)
    ladders = []
    for corruption in CORRUPTIONS:
        progress(corruption.name)
        sets = [
            (severity, ruler.features(corruption(pixels, severity, evaluation.generator(corruption.name))), None)
            for severity in (0.0, *corruption.severities)
        ]
        ladders.append(Ladder(corruption.name, corruption.unit, ruler.rungs(sets)))
    labels = evaluation.samples.labels
    if labels is None:
        return Certificate(
            extractor, dataset, data_hash, floor, tuple(ladders), ("there are no labels: no classes are dropped",)
        )
    progress("dropped classes")
    ladders.append(_dropped(ruler, ruler.features(pixels), torch.as_tensor(labels)))
    return Certificate(extractor, dataset, data_hash, floor, tuple(ladders))


def _dropped(ruler: _Ruler, features: Tensor, labels: Tensor) -> Ladder:
    """Return the ladder of the same images without one class, without two, …: those of the highest labels go first."""
    classes = torch.unique(labels)
    sets: list[tuple[float, Tensor, Tensor | None]] = [(0.0, features, None)]
    for count in class_counts(len(classes)):
        kept = torch.nonzero(torch.isin(labels, classes[: len(classes) - count])).flatten()
        if len(kept) >= FEWEST:
            sets.append((float(count), features[kept], kept))
    return Ladder("dropped classes", f"classes, of {len(classes)}", ruler.rungs(sets))


@dataclass(frozen=True)
class _Ruler:
    """Measures distances from the training images, each with how it changes without every block of images."""

    extractor: Extractor
    transform: Callable[[Tensor], Tensor]
    reference: Statistics
    block_of: Tensor  # (N,): which block each held-out image is in
    device: torch.device
    batch_size: int

    @classmethod
    def of(cls, evaluation: CellEvaluation, name: str) -> _Ruler:
        loaded, reference = evaluation.extractor(name), evaluation.statistics(name, "train")
        transform: Callable[[Tensor], Tensor] = Tensor.double
        if loaded.whiten:
            transform = whiten(reference)
            reference = statistics(transform(evaluation.features(name, "train")))
        n = len(evaluation.samples.pixels)
        block_of = torch.zeros(n, dtype=torch.int64)
        for number, block in enumerate(make_blocks(n, evaluation.generator(f"jackknife of {name}"))):
            block_of[block] = number
        return cls(loaded, transform, reference, block_of, evaluation.device, evaluation.batch_size)

    def features(self, pixels: Tensor) -> Tensor:
        return self.transform(extract(self.extractor, pixels, self.device, self.batch_size))

    def rungs(self, sets: Iterable[tuple[float, Tensor, Tensor | None]]) -> tuple[Rung, ...]:
        """Return the rungs of (severity, features, the numbers of these images among all; None: they are all)."""
        rungs: list[Rung] = []
        before: Tensor | None = None
        for severity, features, numbers in sets:
            block_of = self.block_of if numbers is None else self.block_of[numbers]
            blocks = [torch.nonzero(block_of == number).flatten() for number in range(BLOCKS)]
            changes = changes_without(features, self.reference, blocks)
            found = jackknife(changes)
            value = frechet_distance(statistics(features), self.reference) - found.bias
            step = step_error = None
            if before is not None:
                step, step_error = value - rungs[-1].value, standard_error_from_replicates(changes - before)
            rungs.append(Rung(severity, value, found.standard_error, len(features), step, step_error))
            before = changes
        return tuple(rungs)
