"""How images are shared among classes, and whether the classes look different by brightness alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genbench.datacheck.outliers import Numbers
from genbench.datacheck.survey import Survey


@dataclass(frozen=True)
class ClassFacts:
    """One class."""

    name: str
    train: int  # images
    test: int
    brightness: float | None  # mean of its images, levels; None: it has none, or they are points
    contrast: float | None


@dataclass(frozen=True)
class Balance:
    """All classes, by label."""

    classes: tuple[ClassFacts, ...]
    ratio: float | None  # largest class by smallest, in training images; None: one of them has none
    evenness: float  # Pielou 1966: entropy of the classes by its greatest value, ln K; 1: all of the same size
    effective_classes: float  # exp of the entropy: as many classes of the same size are as diverse (Hill 1973)
    brightness_explained: float | None  # η²: share of its variance that lies between classes; None: points
    contrast_explained: float | None


def balance(survey: Survey) -> Balance | None:
    """Return how the images are shared among the classes, or None where there are no labels."""
    labels = survey.labels
    if labels is None or not len(labels):
        return None
    count = max(int(labels.max()) + 1, len(survey.class_names))
    train = np.bincount(labels[~survey.held_out], minlength=count)
    test = np.bincount(labels[survey.held_out], minlength=count)
    brightness, contrast = survey.fingerprints.brightness, survey.fingerprints.contrast
    pictures = not survey.points
    names = [survey.class_names[n] if n < len(survey.class_names) else str(n) for n in range(count)]
    entropy = entropy_of(train)
    return Balance(
        classes=tuple(
            ClassFacts(names[n], int(train[n]), int(test[n]), _mean(brightness[of]), _mean(contrast[of]))
            for n in range(count)
            for of in [(labels == n) & pictures]
        ),
        ratio=round(float(train.max() / train.min()), 3) if train.min() else None,
        evenness=round(entropy / float(np.log(count)), 4) if count > 1 else 1.0,
        effective_classes=round(float(np.exp(entropy)), 2),
        brightness_explained=round(explained(brightness, labels), 4) if pictures else None,
        contrast_explained=round(explained(contrast, labels), 4) if pictures else None,
    )


def entropy_of(counts: Numbers) -> float:
    """Return the entropy, in nats, of shares that counts (K,) state; 0 where all are 0."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())


def explained(values: Numbers, labels: Numbers) -> float:
    """Return η², the share of the variance of values (N,) that lies between the groups of labels (N,)."""
    centred = values.astype(np.float64) - values.astype(np.float64).mean()
    total = float((centred**2).sum())
    sizes = np.bincount(labels)
    sums = np.bincount(labels, weights=centred)
    between = float((sums[sizes > 0] ** 2 / sizes[sizes > 0]).sum())
    return min(between / total, 1.0) if total > 0 else 0.0


def _mean(values: Numbers) -> float | None:
    return round(float(values.mean()), 2) if len(values) else None
