"""The extractor `learned`: features learned from the dataset itself, from its labels if they can be learned."""

from __future__ import annotations

import torch

from genbench import ExtractorData, ExtractorUnavailable
from genbench.builtin.extractors import classifier, self_supervised
from genbench.builtin.extractors.classifier import TrainedClassifier
from genbench.builtin.extractors.self_supervised import SelfSupervised


def load(device: torch.device, data: ExtractorData) -> TrainedClassifier | SelfSupervised:
    """Return `classifier` of this dataset, or `self-supervised` where there are no labels that it can learn.

    Raises `ExtractorUnavailable` where the latter does.
    """
    try:
        return classifier.load(device, data)
    except ExtractorUnavailable:
        return self_supervised.load(device, data)
