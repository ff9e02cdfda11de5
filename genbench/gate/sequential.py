"""A group sequential test: when to stop measuring, with an error probability allotted to each planned look.

Testing after every block until something is significant would sooner or later raise a false alarm. Here the looks
(interim analyses) are planned (Pocock 1977, "Group sequential methods in the design and analysis of clinical trials")
and share the error probability; the shares add up (Bonferroni), however the looks depend on each other. Early looks get
less: they serve only to detect very large changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from genbench.gate.verdict import Verdict
from genbench.stats.holm import holm
from genbench.stats.paired import Effect, effect

Name = TypeVar("Name")

CONTROL_TOLERANCE = math.log(1.02)  # largest difference of the control's time between the arms
POWER = 0.95


@dataclass(frozen=True)
class LookSchedule:
    """The numbers of blocks after which to look, and the error probability of each look.

    It bounds both kinds of error: calling a change within the limit regressed, and passing one that exceeds it.
    """

    blocks: tuple[int, ...] = (8, 16, 32)
    errors: tuple[float, ...] = (0.001, 0.003, 0.006)

    def __post_init__(self) -> None:
        """Reject looks out of order, and errors that are not probabilities."""
        ordered = list(self.blocks) == sorted(set(self.blocks))
        if not self.blocks or not ordered or self.blocks[0] < 2 or len(self.blocks) != len(self.errors):
            raise ValueError("looks need increasing numbers of blocks, from 2 on, and one error each")
        if not all(0 < error < 0.5 for error in self.errors) or self.error >= 0.5:
            raise ValueError("the errors of the looks must be probabilities that add up to less than one half")

    @property
    def error(self) -> float:
        """The largest probability, over all looks, of a false alarm; the same bounds that of a missed regression."""
        return math.fsum(self.errors)

    def due(self, blocks: int) -> bool:
        """Return whether a look is planned after this number of blocks."""
        return blocks in self.blocks

    def error_at(self, blocks: int) -> float:
        """Return the error probability of a decision after this many blocks: the latest look's; 0 before the first."""
        passed = [error for at, error in zip(self.blocks, self.errors, strict=True) if at <= blocks]
        return passed[-1] if passed else 0.0


@dataclass(frozen=True)
class Decision:
    """The decision on one cell."""

    verdict: Verdict
    effect: Effect | None  # None: too few blocks
    low: float  # bounds of the mean log ratio at this look's error; nan: unknown
    high: float
    more_blocks: int | None = None  # how many more would decide an inconclusive one; None: unknown
    reason: str = ""


def decide(log_ratios: Mapping[Name, Sequence[float]], limit: float, looks: LookSchedule) -> dict[Name, Decision]:
    """Decide for each cell whether its time has grown by more than `limit` (0.05: by 5 %).

    Call it at planned looks only. The probability that any of the cells is wrongly called regressed is that of a single
    test (Holm). `ok` means significantly below the limit, `improved` significantly less time than base. Blocks with a
    ratio that is not finite are ignored; a cell with fewer blocks than the first look needs is `no-data` if it has
    none, and `inconclusive` otherwise.
    """
    if not limit > -1:
        raise ValueError(f"a limit of {limit} would allow no time at all")
    allowed = math.log1p(limit)
    finite = {name: [ratio for ratio in ratios if math.isfinite(ratio)] for name, ratios in log_ratios.items()}
    effects = {name: effect(ratios) for name, ratios in finite.items() if looks.error_at(len(ratios))}
    p_values = holm({name: found.p_value(allowed) for name, found in effects.items()})
    decisions = {}
    for name, ratios in finite.items():
        if name in effects:
            decisions[name] = _decide(effects[name], p_values[name], allowed, looks)
        elif not ratios:
            decisions[name] = Decision(Verdict.NO_DATA, None, math.nan, math.nan, reason="no block was measured")
        else:
            missing = looks.blocks[0] - len(ratios)
            decisions[name] = Decision(
                Verdict.INCONCLUSIVE, None, math.nan, math.nan, missing, "fewer blocks than the first look needs"
            )
    return decisions


def _decide(found: Effect, p_value: float, allowed: float, looks: LookSchedule) -> Decision:
    error = looks.error_at(found.blocks)
    low, high = found.bounds(error)
    if p_value <= error:
        return Decision(Verdict.REGRESSED, found, low, high)
    if high < 0:
        return Decision(Verdict.IMPROVED, found, low, high)
    if high < allowed:
        return Decision(Verdict.OK, found, low, high)
    needed = found.blocks_to_decide(allowed, looks.errors[-1], POWER)
    return Decision(Verdict.INCONCLUSIVE, found, low, high, None if needed is None else max(needed - found.blocks, 1))


def arms_are_biased(control: Sequence[float], error: float = 0.01) -> bool:
    """Return whether the control's time, which the change cannot affect, differs between the arms.

    True if the control's mean log ratio is significantly more than 2 % from 0; False with too few blocks.
    """
    finite = [ratio for ratio in control if math.isfinite(ratio)]
    if len(finite) < 2:
        return False
    low, high = effect(finite).bounds(error)
    return low > CONTROL_TOLERANCE or high < -CONTROL_TOLERANCE
