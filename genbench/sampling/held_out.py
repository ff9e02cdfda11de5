"""Held-out images of a dataset in the role of samples, to certify and check an extractor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from genbench.api.evaluation import ExtractorUnavailable
from genbench.api.images import Images, Shape
from genbench.data.loading import load_data
from genbench.errors import DataError, UsageError
from genbench.metrics.evaluation import CellEvaluation
from genbench.plugins.loader import Plugin
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.results.schema import Choice


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """An evaluation whose samples are held-out images with their labels, and the content hash of the dataset."""

    evaluation: CellEvaluation
    data_hash: str


def load_held_out(
    dataset: Choice, shape: Shape, extractor: str, plugins: Sequence[Plugin], device: torch.device, samples: int
) -> HeldOut:
    """Load a dataset and an extractor from these plugins; the first `samples` held-out images are the samples.

    Raises `DataError` where the dataset or the extractor is unavailable, and `UsageError` for a dataset of 2-D points.
    """
    third_party = {plugin.name: plugin for plugin in plugins if plugin.origin != "builtin"}
    catalogue = load_catalogue([dataclasses.asdict(plugin) for plugin in third_party.values()])
    if catalogue.require("datasets", dataset.name).spec.points:
        raise UsageError(
            f"'{dataset.name}' contains 2-D points, not images.", "Choose another --dataset.", code="GB306"
        )
    data = load_data(dataset, shape, catalogue)
    labels = None if data.test_labels is None else data.test_labels[:samples]
    evaluation = CellEvaluation(
        samples=Images(data.test_pixels[:samples], labels),
        train=data.train,
        test=data.test,
        device=device,
        extractors={name: entry.spec for name, entry in catalogue.extractors.items()},
        data=data.for_extractors(dataset.name),
    )
    try:
        evaluation.extractor(extractor)
    except ExtractorUnavailable as error:
        raise DataError(f"Extractor '{extractor}' is unavailable: {error}", code="GB603") from error
    return HeldOut(evaluation, data.hash)
