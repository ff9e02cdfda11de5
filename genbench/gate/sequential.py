"""When to stop measuring: at planned looks, each with its share of the errors that the whole may make.

Looking after each block until something shows would raise a false alarm sooner or later. Here the looks are planned
(Pocock 1977, "Group sequential methods in the design and analysis of clinical trials") and the probability of an error
is shared among them; the shares add up (Bonferroni), whatever the looks have in common. Early looks get less: they are
there for changes that nobody could miss.
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

CONTROL_TOLERANCE = math.log(1.02)  # by how much the control's time may differ between the arms
POWER = 0.95


@dataclass(frozen=True)
class LookSchedule:
    """After how many blocks to look, and the probability of an error at each look, of each kind.

    The kinds are to call a change regressed that is within the limit, and to pass one that is not.
    """

    blocks: tuple[int, ...] = (8, 16, 32)
    errors: tuple[float, ...] = (0.001, 0.003, 0.006)

    def __post_init__(self) -> None:
        """Refuse looks that are out of order, or errors that are no probabilities."""
        ordered = list(self.blocks) == sorted(set(self.blocks))
        if not self.blocks or not ordered or self.blocks[0] < 2 or len(self.blocks) != len(self.errors):
            raise ValueError("looks are after increasing numbers of blocks, from 2 on, each with an error of its own")
        if not all(0 < error < 0.5 for error in self.errors) or self.error >= 0.5:
            raise ValueError("the errors of the looks are probabilities that add up to less than one half")

    @property
    def error(self) -> float:
        """The probability of a false alarm over all looks, at most; and that of a missed regression."""
        return math.fsum(self.errors)

    def due(self, blocks: int) -> bool:
        """Say whether to look after so many blocks."""
        return blocks in self.blocks

    def error_at(self, blocks: int) -> float:
        """Return the error that a decision after so many blocks may make: that of the last look passed; 0 before it."""
        passed = [error for at, error in zip(self.blocks, self.errors, strict=True) if at <= blocks]
        return passed[-1] if passed else 0.0


@dataclass(frozen=True)
class Decision:
    """What the blocks say of one cell."""

    verdict: Verdict
    effect: Effect | None  # None: too few blocks for any
    low: float  # bounds of the mean log ratio at this look's error; nan: none
    high: float
    more_blocks: int | None = None  # of an inconclusive one: how many would tell; None: not known
    reason: str = ""


def decide(log_ratios: Mapping[Name, Sequence[float]], limit: float, looks: LookSchedule) -> dict[Name, Decision]:
    """Decide for each cell whether its time has grown by more than `limit` (0.05: by 5 %).

    To be called at planned looks only. Over the cells, the chance that any is called regressed wrongly stays that of
    one (Holm). `ok` is a change that is surely within the limit, `improved` one that surely needs less time than base.
    Blocks with a ratio that is not finite count for nothing; a cell with fewer than the first look's is `no-data`
    where it has none at all, and `inconclusive` otherwise.
    """
    if not limit > -1:
        raise ValueError(f"a limit of {limit} would ask for no time at all")
    allowed = math.log1p(limit)
    finite = {name: [ratio for ratio in ratios if math.isfinite(ratio)] for name, ratios in log_ratios.items()}
    known = {name: effect(ratios) for name, ratios in finite.items() if looks.error_at(len(ratios))}
    alarms = holm({name: found.chance_above(allowed) for name, found in known.items()})
    decisions = {}
    for name, ratios in finite.items():
        if name in known:
            decisions[name] = _decide(known[name], alarms[name], allowed, looks)
        elif not ratios:
            decisions[name] = Decision(Verdict.NO_DATA, None, math.nan, math.nan, reason="no block was measured")
        else:
            missing = looks.blocks[0] - len(ratios)
            decisions[name] = Decision(
                Verdict.INCONCLUSIVE, None, math.nan, math.nan, missing, "fewer blocks than the first look needs"
            )
    return decisions


def _decide(found: Effect, alarm: float, allowed: float, looks: LookSchedule) -> Decision:
    error = looks.error_at(found.blocks)
    low, high = found.bounds(error)
    if alarm <= error:
        return Decision(Verdict.REGRESSED, found, low, high)
    if high < 0:
        return Decision(Verdict.IMPROVED, found, low, high)
    if high < allowed:
        return Decision(Verdict.OK, found, low, high)
    needed = found.blocks_to_decide(allowed, looks.errors[-1], POWER)
    return Decision(Verdict.INCONCLUSIVE, found, low, high, None if needed is None else max(needed - found.blocks, 1))


def contaminated(control: Sequence[float], error: float = 0.01) -> bool:
    """Say whether something other than the change told the arms apart: the control's time, which neither touches.

    True where the control's mean log ratio surely differs from 0 by more than 2 %. Too few blocks show nothing.
    """
    finite = [ratio for ratio in control if math.isfinite(ratio)]
    if len(finite) < 2:
        return False
    low, high = effect(finite).bounds(error)
    return low > CONTROL_TOLERANCE or high < -CONTROL_TOLERANCE
