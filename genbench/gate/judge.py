"""The verdict on stored results: counters exactly, speeds and qualities by statistics over processes.

A quantity is *judged* where it has a limit; the others are shown. Speeds are judged only between equal machines. One
process on a side says nothing of how much processes differ, so that its speed stays inconclusive: two runs of the same
code differ by more than most limits on a shared machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genbench.gate.limits import (
    COUNTERS,
    NO_GROWTH,
    Limit,
    Limits,
)
from genbench.gate.measurements import CellMeasurements, Measurements, Quality
from genbench.gate.verdict import Verdict, worst
from genbench.stats.holm import holm
from genbench.stats.welch import Difference, sampling_only, welch

ERROR = 0.01  # probability of a false alarm among all cells and quantities, and that of missing one regression
SPEED = "throughput"

_LARGEST_LOGARITHM = 700.0  # of a number that a float holds
_HUGE = 1e100  # larger than anything that was measured; its square is still a number

Kind = Literal["cell", "counter", "speed", "quality"]


@dataclass(frozen=True)
class Finding:
    """What is known of one quantity of one cell."""

    cell: str
    quantity: str
    kind: Kind
    verdict: Verdict
    base: float | None = None  # means over seeds
    head: float | None = None
    change: float | None = None  # head / base - 1
    low: float | None = None  # bounds of the change
    high: float | None = None
    limit: str = ""
    reason: str = ""
    judged: bool = True  # whether it counts in the verdict of the whole


@dataclass(frozen=True)
class _Question:
    """A finding that statistics decide; `worse` is on the scale on which more is worse."""

    finding: Finding
    worse: Difference
    allowed: float
    change: Callable[[float], float]  # from that scale to head / base - 1
    samples: int  # on the smaller side


def judge(base: Measurements, head: Measurements, limits: Limits, strict: bool = False) -> list[Finding]:
    """Return what is known of each quantity of each cell of either side.

    Args:
        base: what is compared with.
        head: what is judged.
        limits: by how much what may get worse.
        strict: count machines that differ as `not-comparable`, instead of not judging their speeds.
    """
    questions: list[_Question] = []
    findings: list[Finding] = []
    for item in _all(base, head, limits, strict):
        if isinstance(item, _Question):
            questions.append(item)
        else:
            findings.append(item)
    judged = {n: q.worse.chance_above(q.allowed) for n, q in enumerate(questions) if q.finding.judged}
    alarms = holm(judged)
    findings += [_answer(q, alarms.get(n, 1.0)) for n, q in enumerate(questions)]
    order = {cell: n for n, cell in enumerate({**base.entries, **head.entries})}
    return sorted(findings, key=lambda finding: (order[finding.cell], _KINDS.index(finding.kind)))


def whole(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict of the whole: the worst of what was judged; `no-data` where nothing was."""
    return worst(finding.verdict for finding in findings if finding.judged)


_KINDS: tuple[Kind, ...] = ("cell", "counter", "speed", "quality")


def _all(base: Measurements, head: Measurements, limits: Limits, strict: bool) -> Iterator[Finding | _Question]:
    for cell in {**base.entries, **head.entries}:
        before, after = base.entries.get(cell), head.entries.get(cell)
        if before is None:
            yield _of_cell(cell, Verdict.OK, "new: the base does not have it", judged=False)
        elif after is None:
            yield _of_cell(cell, Verdict.NO_DATA, "gone: only the base has it")
        elif differing := _differing(before.settings, after.settings):
            yield _of_cell(cell, Verdict.NOT_COMPARABLE, f"other settings: {differing}")
        else:
            if before.unwell:
                yield _of_cell(cell, Verdict.NO_DATA, f"did not end well in base: {', '.join(before.unwell)}")
            if after.unwell:
                yield _of_cell(cell, Verdict.NO_DATA, f"did not end well: {', '.join(after.unwell)}")
            own = limits.of(cell)
            yield from _counters(cell, before, after, own)
            yield from _speed(cell, before, after, own, strict)
            yield from _qualities(cell, before, after, own)


def _of_cell(cell: str, verdict: Verdict, reason: str, judged: bool = True) -> Finding:
    return Finding(cell, "", "cell", verdict, reason=reason, judged=judged)


def _counters(cell: str, before: CellMeasurements, after: CellMeasurements, limits: Limits) -> Iterator[Finding]:
    versions = _differing(*({"torch": side.machine.get("torch", "")} for side in (before, after)))
    for name in COUNTERS:
        one, other = before.counters.get(name), after.counters.get(name)
        if one is None and other is None:
            continue
        limit = limits.counters.get(name, NO_GROWTH)
        known = Finding(cell, name, "counter", Verdict.OK, one, other, _share(one, other), limit=_written(limit))
        if one is None:
            yield replace(known, judged=False, reason="the base has no such counter")
        elif other is None or not (math.isfinite(one) and math.isfinite(other)):
            yield replace(known, verdict=Verdict.NO_DATA, reason="it was not counted")
        elif other != one and versions:
            # torch decides of what its operators are made: without it, nobody is to blame and nobody to praise
            yield replace(known, verdict=Verdict.NOT_COMPARABLE, reason=f"counted under other versions: {versions}")
        elif other > one + limit.allowance(one):
            yield replace(known, verdict=Verdict.REGRESSED)
        else:
            yield replace(known, verdict=Verdict.IMPROVED if other < one else Verdict.OK)


def _speed(
    cell: str, before: CellMeasurements, after: CellMeasurements, limits: Limits, strict: bool
) -> Iterator[Finding | _Question]:
    limit, sign = limits.max_slowdown, 1 if before.seconds else -1
    judged = limit is not None
    if not judged and not before.speeds:
        return
    known = Finding(cell, SPEED, "speed", Verdict.INCONCLUSIVE, judged=judged, limit=_written(limit) if limit else "")
    if not before.speeds or not after.speeds or not all(0 < s < math.inf for s in (*before.speeds, *after.speeds)):
        yield replace(known, verdict=Verdict.NO_DATA, reason="it was not measured on both sides", judged=judged)
        return
    one, other = _mean(before.speeds), _mean(after.speeds)
    known = replace(known, base=one, head=other, change=_share(one, other))
    if differing := _differing(before.machine, after.machine):
        reason = f"measured under other conditions: {differing}"
        yield replace(known, verdict=Verdict.NOT_COMPARABLE, reason=reason, judged=strict)
        return
    samples = min(len(before.speeds), len(after.speeds))
    if samples < 2:
        yield replace(known, reason="one process on a side: how much processes differ is not known; use several seeds")
        return
    costs = [[sign * math.log(speed) for speed in side] for side in (before.speeds, after.speeds)]
    allowed = math.log1p(limit.amount) if limit else 0.0
    yield _Question(known, welch(*costs), allowed, lambda worse: _grown(sign * worse), samples)


def _qualities(
    cell: str, before: CellMeasurements, after: CellMeasurements, limits: Limits
) -> Iterator[Finding | _Question]:
    for metric in {**before.qualities, **after.qualities}:
        one, other = before.qualities.get(metric), after.qualities.get(metric)
        limit = limits.metrics.get(metric, limits.other_metrics)
        known = Finding(cell, metric, "quality", Verdict.INCONCLUSIVE, judged=limit is not None)
        if one is None:
            yield replace(known, verdict=Verdict.OK, judged=False, reason="the base does not have it")
        elif other is None:
            yield replace(known, verdict=Verdict.NO_DATA, reason="it was not measured")
        elif differing := _differing(one.protocol, other.protocol):
            yield replace(known, verdict=Verdict.NOT_COMPARABLE, reason=f"another protocol: {differing}")
        else:
            yield _quality(replace(known, limit=_written(limit) if limit else ""), one, other, limit)


def _quality(known: Finding, one: Quality, other: Quality, limit: Limit | None) -> Finding | _Question:
    if not (one.values and other.values) or not all(abs(value) < _HUGE for value in (*one.values, *other.values)):
        return replace(known, verdict=Verdict.NO_DATA, reason="a value is missing or not finite")
    base, head = statistics.mean(one.values), statistics.mean(other.values)
    known = replace(known, base=base, head=head, change=_share(base, head))
    if sorted(one.values) == sorted(other.values):
        return replace(known, verdict=Verdict.OK)
    sign = 1 if one.direction == "lower" else -1
    samples = min(len(one.values), len(other.values))
    if samples >= 2:
        difference = welch([sign * value for value in one.values], [sign * value for value in other.values])
    else:
        errors = [side.errors[0] if len(side.values) == 1 else None for side in (one, other)]
        if any(error is None or not 0 <= error < _HUGE for error in errors):
            return replace(known, reason="one seed on a side, and no error is known; use several seeds")
        difference = sampling_only(sign * base, errors[0] or 0.0, sign * head, errors[1] or 0.0)
        known = replace(known, reason="one seed: errors are those of drawing samples only")
    allowed = limit.allowance(base) if limit else 0.0
    return _Question(known, difference, allowed, lambda worse: sign * worse / abs(base) if base else math.nan, samples)


def _answer(question: _Question, alarm: float) -> Finding:
    low, high = question.worse.bounds(ERROR)
    changes = sorted((question.change(low), question.change(high)))
    bounds = changes if all(math.isfinite(change) for change in changes) else [None, None]
    found = replace(question.finding, low=bounds[0], high=bounds[1])
    if found.judged and alarm <= ERROR:
        return replace(found, verdict=Verdict.REGRESSED)
    if high < 0:
        return replace(found, verdict=Verdict.IMPROVED)
    if found.judged and high < question.allowed:
        return replace(found, verdict=Verdict.OK)
    more = _seeds_to_decide(question)
    needed = f"about {more} seeds on either side would tell" if more else ""
    return replace(found, verdict=Verdict.INCONCLUSIVE, reason="; ".join(filter(None, (found.reason, needed))))


def _seeds_to_decide(question: _Question) -> int | None:
    """Return how many seeds a side would tell the difference from what is allowed, 95 times of 100; None: not known."""
    distance = abs(question.worse.mean - question.allowed)
    if distance == 0 or question.worse.standard_error == 0 or question.samples < 2:
        return None
    normal = statistics.NormalDist()
    reach = normal.inv_cdf(1 - ERROR) + normal.inv_cdf(0.95)
    seeds = question.samples * (reach * question.worse.standard_error / distance) ** 2
    return math.ceil(seeds) + 1 if seeds < 1e6 else None


def _grown(logarithm: float) -> float:
    """Return the change that a log ratio stands for; infinite where no number is large enough."""
    return math.expm1(logarithm) if logarithm < _LARGEST_LOGARITHM else math.inf


def _mean(values: Sequence[float]) -> float:
    """The geometric mean: that of speeds does not depend on whether they are speeds or times."""
    return math.exp(statistics.mean(math.log(value) for value in values))


def _share(base: float | None, head: float | None) -> float | None:
    if base is None or head is None or not (math.isfinite(base) and math.isfinite(head)):
        return None
    return head / base - 1 if base else (0.0 if head == base else None)


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Say in which fields two sides differ; one that only one side states does not count."""
    return "; ".join(
        f"{name} is {one[name]} in base, {other[name]} in head"
        for name in one
        if name in other and one[name] != other[name]
    )


def _written(limit: Limit) -> str:
    return f"{100 * limit.amount:g} %" if limit.relative else f"{limit.amount:g}"
