"""Whether a stored training is the one that its plan describes: its first losses against those of a repetition.

The repetition trains the first windows of the cell again, from the same seed. Where everything that decides rounding
agrees (processor model, threads, torch, precision, engine, on a CPU), the losses must be equal bit for bit. Elsewhere
rounding differs, and training amplifies it: how far is measured by further repetitions on this machine, from weights
that are changed in the last digit. A stored loss may deviate three times as much as these do, or by the tolerance of
engines (`genbench.train.engines.equivalence`), whichever is more.

Equal losses say that model, loss, data, seed and recipe are those of the plan, and that training began as stated. They
say nothing about speed, nor about what came later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genbench.results.schema import CellResult, Comparability, CurvePoint

Verdict = Literal["reproduced", "differs", "not checked"]
CONTROL_FACTOR = 3.0
_TOLERANCES = {"fp32": (3e-4, 5e-3), "tf32": (2e-3, 1e-2), "bf16": (1e-2, 2e-2)}  # first window, later ones
_ROUNDING = ("machine", "threads", "torch", "precision", "engine", "step_tuning", "denormals", "accelerator")


@dataclass(frozen=True)
class Repetition:
    """What a repetition of the first windows of a cell gave."""

    comparability: Comparability
    parameters: Mapping[str, int]
    curves: Sequence[CurvePoint]


@dataclass(frozen=True)
class Reproduction:
    """A verdict with what was compared, or what differs."""

    verdict: Verdict
    reason: str


def compare(stored: CellResult, repeated: Repetition, controls: Sequence[Repetition]) -> Reproduction:
    """Return whether a stored result begins as a repetition of it does.

    Args:
        stored: the result.
        repeated: the repetition of its first windows.
        controls: repetitions from weights that are changed in the last digit.
    """
    known = stored.comparability
    if known is None or not stored.curves:
        return Reproduction("not checked", "no losses are stored")
    if known.data_hash and known.data_hash != repeated.comparability.data_hash:
        return Reproduction("differs", "its images are not those of the dataset here")
    if dict(stored.parameters) != dict(repeated.parameters):
        return Reproduction("differs", "its networks have other numbers of parameters")
    exact = bits_agree(known, repeated.comparability)
    pairs = list(zip(stored.curves, repeated.curves, strict=False))
    if any((one.step, one.images) != (other.step, other.images) for one, other in pairs):
        return Reproduction("differs", "its windows do not end at the same steps")
    terms = [term for term in stored.curves[0].terms if term in repeated.curves[0].terms]
    if not exact:  # a gradient norm is that of one step, in which rounding averages nothing out
        terms = [term for term in terms if not term.startswith("gradient_norm.")]
    if not terms:
        return Reproduction("not checked", "this version of genbench records other losses")
    worst = max(_deviations(pairs, terms, controls, str(known.precision), exact), key=lambda one: one.excess)
    images = f"the first {pairs[-1][0].images:,} images"
    how = "bit for bit" if exact else "within the effect of rounding"
    if worst.excess <= 1:
        return Reproduction("reproduced", f"{len(terms)} losses over {images} agree {how}")
    found = f"'{worst.term}' is {worst.stored:.9g} at step {worst.step}, and {worst.repeated:.9g} when repeated"
    why = "bits should agree here" if exact else f"rounding explains a difference of {worst.allowed:.2g}"
    return Reproduction("differs", f"{found}; {why}")


def bits_agree(stored: Comparability, here: Comparability) -> bool:
    """Return whether two trainings round in the same way: on CPUs of one model, with the same software and threads."""
    return not stored.accelerator and all(getattr(stored, name) == getattr(here, name) for name in _ROUNDING)


@dataclass(frozen=True)
class _Deviation:
    term: str
    step: int
    stored: float
    repeated: float
    allowed: float

    @property
    def excess(self) -> float:
        """The deviation as a multiple of the allowed one; not above 1 is fine."""
        apart = abs(self.stored - self.repeated)
        if math.isnan(apart):
            return 0.0 if math.isnan(self.stored) and math.isnan(self.repeated) else math.inf
        return 0.0 if apart == 0 else apart / self.allowed if self.allowed else math.inf


def _deviations(
    pairs: Sequence[tuple[CurvePoint, CurvePoint]],
    terms: Sequence[str],
    controls: Sequence[Repetition],
    precision: str,
    exact: bool,
) -> Iterator[_Deviation]:
    first, later = _TOLERANCES.get(precision, _TOLERANCES["fp32"])
    for place, (one, other) in enumerate(pairs):
        for term in terms:
            ours, theirs = _number(one, term), _number(other, term)
            apart = [abs(_number(control.curves[place], term) - theirs) for control in controls]
            own = max((gap for gap in apart if not math.isnan(gap)), default=0.0)
            allowed = max((later if place else first) * abs(theirs), CONTROL_FACTOR * own)
            yield _Deviation(term, one.step, ours, theirs, 0.0 if exact else allowed)


def _number(point: CurvePoint, term: str) -> float:
    value = point.terms.get(term)
    return math.nan if value is None else value
