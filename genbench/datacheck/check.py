"""From a scan to measurements, which are not judged here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genbench.datacheck.balance import Balance, balance
from genbench.datacheck.duplicates import DuplicateGroup, exact_duplicates, near_duplicates
from genbench.datacheck.fingerprint import Flags
from genbench.datacheck.outliers import Spread, modified_z, spread
from genbench.datacheck.scan import Scan
from genbench.datacheck.thresholds import Thresholds


@dataclass(frozen=True)
class Outlier:
    """An image that differs from the others."""

    image: int  # index
    measure: str  # 'brightness' or 'contrast'
    value: float  # levels
    z: float  # modified z-score


@dataclass(frozen=True)
class Measured:
    """Measurements of a scan of N images; None: not measured, or not applicable."""

    scan: Scan
    thresholds: Thresholds
    exact: tuple[DuplicateGroup, ...] | None  # groups with identical pixels; None: the images are 2-D points
    near: tuple[DuplicateGroup, ...] | None  # groups that are nearly identical
    balance: Balance | None
    width: Spread | None
    height: Spread | None
    aspect: Spread | None  # width / height
    brightness: Spread | None
    contrast: Spread | None
    blank: tuple[int, ...]
    outliers: tuple[Outlier, ...]  # the most extreme first


def measure(scan: Scan, thresholds: Thresholds | None = None) -> Measured:
    """Measure a scan; pure and fast: no image is read again."""
    thresholds = thresholds or Thresholds()
    drawable = len(scan) > 0 and not scan.points
    fingerprints = scan.fingerprints
    blank = fingerprints.contrast <= thresholds.blank
    shorter = np.minimum(scan.widths, scan.heights)
    comparable = drawable and int(shorter.min()) >= thresholds.near_side
    return Measured(
        scan=scan,
        thresholds=thresholds,
        exact=tuple(exact_duplicates(scan)) if drawable else None,
        near=tuple(near_duplicates(scan, thresholds)) if comparable else None,
        balance=balance(scan),
        width=spread(scan.widths) if len(scan) else None,
        height=spread(scan.heights) if len(scan) else None,
        aspect=spread(scan.widths / scan.heights) if len(scan) else None,
        brightness=spread(fingerprints.brightness) if drawable else None,
        contrast=spread(fingerprints.contrast) if drawable else None,
        blank=tuple(np.flatnonzero(blank).tolist()) if drawable else (),
        outliers=tuple(_outliers(scan, thresholds, blank)) if drawable else (),
    )


def _outliers(scan: Scan, thresholds: Thresholds, blank: Flags) -> list[Outlier]:
    found = []
    for name in ("brightness", "contrast"):
        values = getattr(scan.fingerprints, name)
        scores = modified_z(values)
        far = (np.abs(scores) > thresholds.z) & ~blank  # blank images are reported separately
        found += [
            Outlier(index, name, round(float(values[index]), 2), round(float(scores[index]), 2))
            for index in np.flatnonzero(far).tolist()
        ]
    return sorted(found, key=lambda outlier: -abs(outlier.z))
