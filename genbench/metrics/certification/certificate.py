"""The certificate of an extractor: the floor of its distance, and its response to increasing corruption of real images.

The floor is the distance of held-out from training images, under the protocol of the metric itself. The levels of a
corruption series are distances from the same training images. The jackknife removes the bias of the finite sample size
from each, K θ - (K - 1) θ̄: a set without some classes is smaller, and that alone would increase its distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Extractor, Statistics
from genbench.errors import DataError
from genbench.features.extract import extract
from genbench.gate.extractor_certificate import Certificate, CorruptionSeries, Level
from genbench.metrics import frechet_distance as metric
from genbench.metrics.certification.corruptions import CORRUPTIONS, class_counts
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.feature_sets import reference_space
from genbench.metrics.frechet import changes_without, frechet_distance, statistics
from genbench.metrics.standard_errors import BLOCKS, jackknife, make_blocks, standard_error_from_replicates

FEWEST = 2 * BLOCKS  # images at a level: two in each jackknife block

Progress = Callable[[str], None]


def certify(
    evaluation: CellEvaluation, extractor: str, dataset: str, data_hash: str, progress: Progress
) -> Certificate:
    """Return the certificate of an extractor from an evaluation whose samples are held-out images, with their labels.

    Raises `DataError` for fewer than 40 held-out images, and passes on errors of loading the extractor and measuring.
    """
    pixels = torch.as_tensor(evaluation.samples.pixels)
    if len(pixels) < FEWEST:
        raise DataError(
            f"'{dataset}' has {len(pixels)} held-out images; a certificate needs {FEWEST}.",
            "Choose another --dataset, or more --samples.",
            code="GB304",
        )
    progress("floor")
    floor = metric.measure(evaluation, extractor)
    if not isinstance(floor, Estimate):
        raise DataError(f"'{extractor}' gives no distance: {floor.reason}", code="GB806")
    distances = _ReferenceDistances.of(evaluation, extractor)
    series = []
    for corruption in CORRUPTIONS:
        progress(corruption.name)
        sets = [
            (severity, distances.features(corruption(pixels, severity, evaluation.generator(corruption.name))), None)
            for severity in (0.0, *corruption.severities)
        ]
        series.append(CorruptionSeries(corruption.name, corruption.unit, distances.levels(sets)))
    labels = evaluation.samples.labels
    if labels is None:
        return Certificate(
            extractor, dataset, data_hash, floor, tuple(series), ("there are no labels: no classes were dropped",)
        )
    progress("dropped classes")
    series.append(_drop_classes(distances, distances.features(pixels), torch.as_tensor(labels)))
    return Certificate(extractor, dataset, data_hash, floor, tuple(series))


def _drop_classes(distances: _ReferenceDistances, features: Tensor, labels: Tensor) -> CorruptionSeries:
    """Return the series of the same images without one class, without two, …: the highest labels are dropped first."""
    classes = torch.unique(labels)
    sets: list[tuple[float, Tensor, Tensor | None]] = [(0.0, features, None)]
    for count in class_counts(len(classes)):
        kept = torch.nonzero(torch.isin(labels, classes[: len(classes) - count])).flatten()
        if len(kept) >= FEWEST:
            sets.append((float(count), features[kept], kept))
    return CorruptionSeries("dropped classes", f"classes, of {len(classes)}", distances.levels(sets))


@dataclass(frozen=True)
class _ReferenceDistances:
    """Measures distances from the training images, each with its change when a block of images is deleted."""

    extractor: Extractor
    transform: Callable[[Tensor], Tensor]
    reference: Statistics
    block_of: Tensor  # (N,): the block of each held-out image
    device: torch.device
    batch_size: int

    @classmethod
    def of(cls, evaluation: CellEvaluation, name: str) -> _ReferenceDistances:
        loaded, (transform, reference) = evaluation.extractor(name), reference_space(evaluation, name)
        n = len(evaluation.samples.pixels)
        block_of = torch.zeros(n, dtype=torch.int64)
        for number, block in enumerate(make_blocks(n, evaluation.generator(f"jackknife of {name}"))):
            block_of[block] = number
        return cls(loaded, transform, reference, block_of, evaluation.device, evaluation.batch_size)

    def features(self, pixels: Tensor) -> Tensor:
        return self.transform(extract(self.extractor, pixels, self.device, self.batch_size))

    def levels(self, sets: Iterable[tuple[float, Tensor, Tensor | None]]) -> tuple[Level, ...]:
        """Return the levels for (severity, features, the images' row numbers; None: all images)."""
        levels: list[Level] = []
        before: Tensor | None = None
        for severity, features, numbers in sets:
            block_of = self.block_of if numbers is None else self.block_of[numbers]
            blocks = [torch.nonzero(block_of == number).flatten() for number in range(BLOCKS)]
            changes = changes_without(features, self.reference, blocks)
            found = jackknife(changes)
            value = frechet_distance(statistics(features), self.reference) - found.bias
            step = step_error = None
            if before is not None:
                step, step_error = value - levels[-1].value, standard_error_from_replicates(changes - before)
            levels.append(Level(severity, value, found.standard_error, len(features), step, step_error))
            before = changes
        return tuple(levels)
