"""From a survey to a report: everything that is measured and compared, without judging it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genbench.datacheck.balance import Balance, balance
from genbench.datacheck.duplicates import Copies, exact_copies, near_copies
from genbench.datacheck.fingerprint import Flags
from genbench.datacheck.outliers import Spread, modified_z, spread
from genbench.datacheck.survey import Survey
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
    """What was measured of a survey of N images; None: not looked for, or there is none."""

    survey: Survey
    thresholds: Thresholds
    exact: tuple[Copies, ...] | None  # groups with the same pixels; None: the images are points
    near: tuple[Copies, ...] | None  # groups that nearly agree
    balance: Balance | None
    width: Spread | None
    height: Spread | None
    aspect: Spread | None  # width by height
    brightness: Spread | None
    contrast: Spread | None
    blank: tuple[int, ...]
    outliers: tuple[Outlier, ...]  # the farthest first


def measure(survey: Survey, thresholds: Thresholds | None = None) -> Measured:
    """Measure and compare what a survey has found; pure, and quick: no image is read again."""
    thresholds = thresholds or Thresholds()
    pictures = len(survey) > 0 and not survey.points
    fingerprints = survey.fingerprints
    blank = fingerprints.contrast <= thresholds.blank
    shorter = np.minimum(survey.widths, survey.heights)
    comparable = pictures and int(shorter.min()) >= thresholds.near_side
    return Measured(
        survey=survey,
        thresholds=thresholds,
        exact=tuple(exact_copies(survey)) if pictures else None,
        near=tuple(near_copies(survey, thresholds)) if comparable else None,
        balance=balance(survey),
        width=spread(survey.widths) if len(survey) else None,
        height=spread(survey.heights) if len(survey) else None,
        aspect=spread(survey.widths / survey.heights) if len(survey) else None,
        brightness=spread(fingerprints.brightness) if pictures else None,
        contrast=spread(fingerprints.contrast) if pictures else None,
        blank=tuple(np.flatnonzero(blank).tolist()) if pictures else (),
        outliers=tuple(_outliers(survey, thresholds, blank)) if pictures else (),
    )


def _outliers(survey: Survey, thresholds: Thresholds, blank: Flags) -> list[Outlier]:
    found = []
    for name in ("brightness", "contrast"):
        values = getattr(survey.fingerprints, name)
        scores = modified_z(values)
        far = (np.abs(scores) > thresholds.z) & ~blank  # what is blank is said already
        found += [
            Outlier(index, name, round(float(values[index]), 2), round(float(scores[index]), 2))
            for index in np.flatnonzero(far).tolist()
        ]
    return sorted(found, key=lambda outlier: -abs(outlier.z))
