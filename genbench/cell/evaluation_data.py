"""What metrics receive: samples of a model, or images that no model made, next to the images of the dataset."""

from __future__ import annotations

import torch

from genbench.api.evaluation import show_nothing
from genbench.api.images import Images
from genbench.api.specs import DatasetSpec
from genbench.data.loading import LoadedData
from genbench.metrics.evaluation import CellEvaluation
from genbench.plugins.catalogue import Catalogue
from genbench.process.worker_channel import ShowCount


def evaluation_of(
    samples: Images,
    data: LoadedData,
    dataset: str,
    catalogue: Catalogue,
    device: torch.device,
    seed: int = 0,
    show: ShowCount = show_nothing,
) -> CellEvaluation:
    """Return the evaluation of these samples on this dataset, without reconstructions and bounds."""
    spec: DatasetSpec = catalogue.require("datasets", dataset).spec
    return CellEvaluation(
        samples=samples,
        train=data.train,
        test=data.test,
        device=device,
        seed=seed,
        extractors={name: entry.spec for name, entry in catalogue.extractors.items()},
        mode_of=spec.mode_of,
        factors=data.factors,
        data=data.for_extractors(dataset),
        show=show,
    )
