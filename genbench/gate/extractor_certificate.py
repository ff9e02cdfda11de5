"""Whether an extractor may be trusted: a distance in its features has to grow as real images are spoilt more.

A step of a ladder *rises* or *falls* where the difference between two rungs is more than two of its standard errors,
and is undecided otherwise. A ladder is monotone where every step rises, not monotone where one falls. The errors are
those of a difference of distances of the same images, in which most of the chance that each has by itself cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from genbench.api.evaluation import Estimate

LARGEST_CHANCE = 2.0  # standard errors within which a difference may be chance


class Rising(StrEnum):
    """What is known of a ladder, or of all ladders of an extractor."""

    MONOTONE = "monotone"
    UNDECIDED = "undecided"
    NOT_MONOTONE = "not monotone"


@dataclass(frozen=True)
class Rung:
    """The distance of images that are spoilt to one degree, less the bias of their number."""

    severity: float
    value: float
    standard_error: float
    n: int  # images
    step: float | None = None  # above the rung before; None: the first
    step_error: float | None = None  # standard error of that difference


@dataclass(frozen=True)
class Ladder:
    """One kind of corruption; the first rung is the images as they are."""

    name: str
    unit: str  # of the severity
    rungs: tuple[Rung, ...]

    @property
    def verdict(self) -> Rising:
        """Whether the distance grows from rung to rung."""
        known = [(r.step, r.step_error) for r in self.rungs if r.step is not None and r.step_error is not None]
        return _decide(known)


@dataclass(frozen=True)
class Certificate:
    """What is known of an extractor on one dataset."""

    extractor: str
    dataset: str
    data_hash: str
    floor: Estimate  # of held-out images, from the training images: nothing scores less but by chance or by copying
    ladders: tuple[Ladder, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Rising:
        """The worst verdict of its ladders."""
        order = [*Rising]
        return max((ladder.verdict for ladder in self.ladders), key=order.index, default=Rising.UNDECIDED)


def _decide(steps: list[tuple[float, float]]) -> Rising:
    if any(step < -LARGEST_CHANCE * error for step, error in steps):
        return Rising.NOT_MONOTONE
    if steps and all(step > LARGEST_CHANCE * error for step, error in steps):
        return Rising.MONOTONE
    return Rising.UNDECIDED
