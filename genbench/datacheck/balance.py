"""How images are distributed over classes, and whether brightness alone separates the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genbench.datacheck.outliers import Numbers
from genbench.datacheck.scan import Scan


@dataclass(frozen=True)
class ClassFacts:
    """One class."""

    name: str
    train: int  # images
    test: int
    brightness: float | None  # mean over its images, levels; None: no images, or 2-D points
    contrast: float | None


@dataclass(frozen=True)
class Balance:
    """All classes, by label."""

    classes: tuple[ClassFacts, ...]
    ratio: float | None  # largest class / smallest, in training images; None: a class has none
    evenness: float  # Pielou 1966: entropy of the classes / ln K; 1: all have the same size
    effective_classes: float  # exp of the entropy: so many classes of equal size are as diverse (Hill 1973)
    brightness_explained: float | None  # η²: fraction of the variance between classes; None: 2-D points
    contrast_explained: float | None


def balance(scan: Scan) -> Balance | None:
    """Return the distribution of images over classes, or None where there are no labels."""
    labels = scan.labels
    if labels is None or not len(labels):
        return None
    count = max(int(labels.max()) + 1, len(scan.class_names))
    train = np.bincount(labels[~scan.held_out], minlength=count)
    test = np.bincount(labels[scan.held_out], minlength=count)
    brightness, contrast = scan.fingerprints.brightness, scan.fingerprints.contrast
    drawable = not scan.points
    names = [scan.class_names[n] if n < len(scan.class_names) else str(n) for n in range(count)]
    entropy = entropy_of(train)
    return Balance(
        classes=tuple(
            ClassFacts(names[n], int(train[n]), int(test[n]), _mean(brightness[of]), _mean(contrast[of]))
            for n in range(count)
            for of in [(labels == n) & drawable]
        ),
        ratio=round(float(train.max() / train.min()), 3) if train.min() else None,
        evenness=round(entropy / float(np.log(count)), 4) if count > 1 else 1.0,
        effective_classes=round(float(np.exp(entropy)), 2),
        brightness_explained=round(explained(brightness, labels), 4) if drawable else None,
        contrast_explained=round(explained(contrast, labels), 4) if drawable else None,
    )


def entropy_of(counts: Numbers) -> float:
    """Return the entropy, in nats, of the distribution given by counts (K,); 0 where all are 0."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum())


def explained(values: Numbers, labels: Numbers) -> float:
    """Return η², the fraction of the variance of values (N,) that is between the groups of labels (N,)."""
    centred = values.astype(np.float64) - values.astype(np.float64).mean()
    total = float((centred**2).sum())
    sizes = np.bincount(labels)
    sums = np.bincount(labels, weights=centred)
    between = float((sums[sizes > 0] ** 2 / sizes[sizes > 0]).sum())
    return min(between / total, 1.0) if total > 0 else 0.0


def _mean(values: Numbers) -> float | None:
    return round(float(values.mean()), 2) if len(values) else None
