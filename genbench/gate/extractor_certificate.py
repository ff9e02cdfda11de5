"""Whether an extractor can be trusted: a distance in its features must grow with the corruption of real images.

A step of a series *rises* or *falls* if the difference between two levels exceeds two of its standard errors, and is
undecided otherwise. A series is monotone if every step rises, and not monotone if one falls. The errors are those of a
difference of distances of the same images, in which most of the sampling error cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from genbench.api.evaluation import Estimate
from genbench.gate.reference_scale import SIGNIFICANT


class Monotonicity(StrEnum):
    """Whether a series, or every series of an extractor, is monotone."""

    MONOTONE = "monotone"
    UNDECIDED = "undecided"
    NOT_MONOTONE = "not monotone"


@dataclass(frozen=True)
class Level:
    """The distance of images corrupted to one severity, with the bias of the finite sample size removed."""

    severity: float
    value: float
    standard_error: float
    n: int  # images
    step: float | None = None  # difference from the previous level; None: the first
    step_error: float | None = None  # standard error of that difference


@dataclass(frozen=True)
class CorruptionSeries:
    """One kind of corruption at increasing severity; the first level is the uncorrupted images."""

    name: str
    unit: str  # of the severity
    rungs: tuple[Level, ...]  # the levels, by their key in the certificate's JSON

    @property
    def verdict(self) -> Monotonicity:
        """Whether the distance grows from level to level."""
        steps = ((level.step, level.step_error) for level in self.rungs)
        return _decide([(step, error) for step, error in steps if step is not None and error is not None])


@dataclass(frozen=True)
class Certificate:
    """The validation of an extractor on one dataset."""

    extractor: str
    dataset: str
    data_hash: str
    floor: Estimate  # of held-out from training images: only chance or copying scores less
    ladders: tuple[CorruptionSeries, ...]  # the series, by their key in the certificate's JSON
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Monotonicity:
        """The worst verdict of its series."""
        order = [*Monotonicity]
        return max((ladder.verdict for ladder in self.ladders), key=order.index, default=Monotonicity.UNDECIDED)


def _decide(steps: list[tuple[float, float]]) -> Monotonicity:
    if any(step < -SIGNIFICANT * error for step, error in steps):
        return Monotonicity.NOT_MONOTONE
    if steps and all(step > SIGNIFICANT * error for step, error in steps):
        return Monotonicity.MONOTONE
    return Monotonicity.UNDECIDED
