"""The verdict on stored results: counters exactly, speeds and qualities by statistics over processes.

A quantity is *judged* if it has a limit; all others are only shown. Speeds are judged only between equal machines. A
single process on a side does not show how much processes vary, so its speed stays inconclusive: on a shared machine two
runs of the same code differ by more than most limits.

Qualities are paired by seed where both sides have the same seeds. Speeds are not: equal seeds share no noise of timing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genbench.gate.conditions import UNKNOWN, differing, incomparable
from genbench.gate.limits import (
    COUNTERS,
    NO_GROWTH,
    Limit,
    Limits,
)
from genbench.gate.measurements import CellMeasurements, Measurements, Quality
from genbench.gate.speed_interval import explanation
from genbench.gate.verdict import Verdict, worst
from genbench.stats.holm import holm
from genbench.stats.seed_comparison import Comparison, compare_seeds
from genbench.stats.welch import Difference, known_errors, welch

ERROR = 0.01  # probability of any false alarm among all cells and quantities, and of missing a given regression
SPEED, TIME = "throughput", "time"
UNITS = {SPEED: "images/s", TIME: "s"}

_LARGEST_LOGARITHM = 700.0  # whose exponential a float can represent
_ONE_PROCESS = {
    "seeds": "variation between processes is unknown; use several seeds",
    "files": "variation between processes is unknown; give a folder for each side, with one file for each process",
}
_HUGE = 1e100  # larger than any measurement; its square is still finite

Kind = Literal["cell", "counter", "speed", "quality"]


@dataclass(frozen=True)
class Finding:
    """The result for one quantity of one cell."""

    cell: str
    quantity: str
    kind: Kind
    verdict: Verdict
    base: float | None = None  # means over seeds
    head: float | None = None
    change: float | None = None  # head / base - 1
    low: float | None = None  # bounds of the change
    high: float | None = None
    difference: float | None = None  # head - base, of a quality
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None  # two-sided, of no difference
    p_adjusted: float | None = None  # by Holm, over all tests of the comparison
    p_sign_flip: float | None = None  # beside the paired t
    p_wilcoxon: float | None = None
    test: str = ""
    limit: str = ""
    reason: str = ""
    judged: bool = True  # whether it counts towards the overall verdict
    unit: str = ""  # of base and head, where it is not evident from the quantity
    uncertain: Sequence[Literal["base", "head"]] = ()  # sides whose value is too uncertain to be shown


@dataclass(frozen=True)
class _Test:
    """A finding to be decided by a statistical test; `worse` is on a scale on which more is worse."""

    finding: Finding
    worse: Difference
    allowed: float
    change: Callable[[float], float]  # from that scale to head / base - 1
    samples: int  # on the side with fewer
    processes: str = "seeds"  # what the samples come from
    comparison: Comparison | None = None  # of a quality over seeds, on the same scale
    sign: int = 1  # that scale is head - base times this

    @property
    def p_value(self) -> float:
        """The two-sided p-value of no difference."""
        return self.worse.two_sided if self.comparison is None else self.comparison.p_value


def judge(base: Measurements, head: Measurements, limits: Limits, strict: bool = False) -> list[Finding]:
    """Return a finding for each quantity of each cell of either side.

    Args:
        base: the reference.
        head: the side that is judged.
        limits: by how much each quantity may get worse.
        strict: judge speeds from different machines as `not-comparable`, instead of only showing them.
    """
    tests: list[_Test] = []
    findings: list[Finding] = []
    for item in _findings(base, head, limits, strict):
        if isinstance(item, _Test):
            tests.append(item)
        else:
            findings.append(item)
    p_values = holm({n: t.worse.p_value(t.allowed) for n, t in enumerate(tests) if t.finding.judged})
    adjusted = holm({n: test.p_value for n, test in enumerate(tests)})
    findings += [_decide(test, p_values.get(n, 1.0), adjusted[n]) for n, test in enumerate(tests)]
    order = {cell: n for n, cell in enumerate({**base.entries, **head.entries})}
    return sorted(findings, key=lambda finding: (order[finding.cell], _KINDS.index(finding.kind)))


def overall(findings: Sequence[Finding]) -> Verdict:
    """Return the overall verdict: the worst of the judged findings; `no-data` if there are none."""
    return worst(finding.verdict for finding in findings if finding.judged)


_KINDS: tuple[Kind, ...] = ("cell", "counter", "speed", "quality")


def _findings(base: Measurements, head: Measurements, limits: Limits, strict: bool) -> Iterator[Finding | _Test]:
    for cell in {**base.entries, **head.entries}:
        before, after = base.entries.get(cell), head.entries.get(cell)
        if before is None:
            yield _cell_finding(cell, Verdict.OK, "new: not in the base", judged=False)
        elif after is None:
            yield _cell_finding(cell, Verdict.NO_DATA, "missing: only in the base")
        elif conflict := _conflict(before.settings_conflict, after.settings_conflict):
            yield _cell_finding(cell, Verdict.NOT_COMPARABLE, f"different settings {conflict}")
        elif differs := differing(before.settings, after.settings):
            yield _cell_finding(cell, Verdict.NOT_COMPARABLE, f"different settings: {differs}")
        else:
            if before.failures:
                yield _cell_finding(cell, Verdict.NO_DATA, f"not measured in base: {', '.join(before.failures)}")
            if after.failures:
                yield _cell_finding(cell, Verdict.NO_DATA, f"not measured: {', '.join(after.failures)}")
            own = limits.of(cell)
            yield from _counters(cell, before, after, own)
            yield from _speed(cell, before, after, own, strict)
            yield from _qualities(cell, before, after, own)


def _cell_finding(cell: str, verdict: Verdict, reason: str, judged: bool = True) -> Finding:
    return Finding(cell, "", "cell", verdict, reason=reason, judged=judged)


def _counters(cell: str, before: CellMeasurements, after: CellMeasurements, limits: Limits) -> Iterator[Finding]:
    versions = differing(*({"torch": side.machine.get("torch", UNKNOWN)} for side in (before, after)))
    for name in COUNTERS:
        one, other = before.counters.get(name), after.counters.get(name)
        if one is None and other is None:
            continue
        limit = limits.counters.get(name, NO_GROWTH)
        finding = Finding(cell, name, "counter", Verdict.OK, one, other, _change(one, other), limit=_limit_text(limit))
        if one is None:
            yield replace(finding, judged=False, reason="not in the base")
        elif other is None or not (math.isfinite(one) and math.isfinite(other)):
            yield replace(finding, verdict=Verdict.NO_DATA, reason="not counted")
        elif other != one and versions:
            # torch decides what its operators consist of: a difference may stem from its version alone
            yield replace(
                finding, verdict=Verdict.NOT_COMPARABLE, reason=f"counted under different versions: {versions}"
            )
        elif other > one + limit.allowance(one):
            yield replace(finding, verdict=Verdict.REGRESSED)
        else:
            yield replace(finding, verdict=Verdict.IMPROVED if other < one else Verdict.OK)


def _speed(
    cell: str, before: CellMeasurements, after: CellMeasurements, limits: Limits, strict: bool
) -> Iterator[Finding | _Test]:
    limit, sign = limits.max_slowdown, 1 if before.seconds else -1
    judged = limit is not None
    if not judged and not before.speeds:
        return
    quantity = TIME if before.seconds else SPEED
    finding = Finding(
        cell,
        quantity,
        "speed",
        Verdict.INCONCLUSIVE,
        judged=judged,
        limit=_limit_text(limit) if limit else "",
        unit=UNITS[quantity],
    )
    if not before.speeds or not after.speeds or not all(0 < s < math.inf for s in (*before.speeds, *after.speeds)):
        yield replace(finding, verdict=Verdict.NO_DATA, reason="not measured on both sides", judged=judged)
        return
    one, other = _mean(before.speeds), _mean(after.speeds)
    finding = replace(finding, base=one, head=other, change=_change(one, other))
    if reason := _incomparable(before, after):
        yield replace(finding, verdict=Verdict.NOT_COMPARABLE, reason=reason, judged=strict)
        return
    sides: dict[Literal["base", "head"], CellMeasurements] = {"base": before, "head": after}
    if uncertain := [f"{name}: {side.uncertain}" for name, side in sides.items() if side.uncertain]:
        yield replace(
            finding,
            change=None,
            reason=explanation("; ".join(uncertain)),
            uncertain=[name for name, side in sides.items() if side.uncertain],
        )
        return
    samples = min(len(before.speeds), len(after.speeds))
    processes = "files" if before.seconds else "seeds"
    if samples < 2:
        yield replace(finding, reason=f"only one process on a side: {_ONE_PROCESS[processes]}")
        return
    costs = [[sign * math.log(speed) for speed in side] for side in (before.speeds, after.speeds)]
    allowed = math.log1p(limit.amount) if limit else 0.0
    yield _Test(finding, welch(*costs), allowed, lambda worse: _relative_change(sign * worse), samples, processes)


def _qualities(
    cell: str, before: CellMeasurements, after: CellMeasurements, limits: Limits
) -> Iterator[Finding | _Test]:
    for metric in {**before.qualities, **after.qualities}:
        one, other = before.qualities.get(metric), after.qualities.get(metric)
        limit = limits.metrics.get(metric, limits.other_metrics)
        finding = Finding(cell, metric, "quality", Verdict.INCONCLUSIVE, judged=limit is not None)
        if one is None:
            yield replace(finding, verdict=Verdict.OK, judged=False, reason="not in the base")
        elif other is None:
            yield replace(finding, verdict=Verdict.NO_DATA, reason="not measured")
        elif differs := differing(one.protocol, other.protocol):
            yield replace(finding, verdict=Verdict.NOT_COMPARABLE, reason=f"different protocol: {differs}")
        else:
            yield _quality(replace(finding, limit=_limit_text(limit) if limit else ""), one, other, limit)


def _quality(finding: Finding, one: Quality, other: Quality, limit: Limit | None) -> Finding | _Test:
    if not (one.values and other.values) or not all(abs(value) < _HUGE for value in (*one.values, *other.values)):
        return replace(finding, verdict=Verdict.NO_DATA, reason="a value is missing or not finite")
    base, head = statistics.mean(one.values), statistics.mean(other.values)
    finding = replace(finding, base=base, head=head, change=_change(base, head))
    if sorted(one.values) == sorted(other.values):
        return replace(finding, verdict=Verdict.OK)
    sign = 1 if one.direction == "lower" else -1
    samples = min(len(one.values), len(other.values))
    comparison = None
    if samples >= 2:
        comparison = compare_seeds(_by_seed(one, sign, "base"), _by_seed(other, sign, "head"))
        difference = comparison.difference
    else:
        errors = [side.errors[0] if len(side.values) == 1 else None for side in (one, other)]
        if any(error is None or not 0 <= error < _HUGE for error in errors):
            return replace(finding, reason="only one seed on a side, and no standard error is known; use several seeds")
        difference = known_errors(sign * base, errors[0] or 0.0, sign * head, errors[1] or 0.0)
        finding = replace(finding, reason="only one seed: the standard errors cover only the drawing of samples")
    allowed = limit.allowance(base) if limit else 0.0
    return _Test(
        finding,
        difference,
        allowed,
        lambda worse: sign * worse / abs(base) if base else math.nan,
        samples,
        comparison=comparison,
        sign=sign,
    )


def _by_seed(quality: Quality, sign: int, side: str) -> dict[tuple[str, int], float]:
    """Return the values on a scale on which more is worse; where seeds are not known, no key is on the other side."""
    known = len(set(quality.seeds)) == len(quality.values)
    keys = [("seed", seed) for seed in quality.seeds] if known else [(side, n) for n in range(len(quality.values))]
    return {key: sign * value for key, value in zip(keys, quality.values, strict=True)}


def _decide(test: _Test, p_value: float, p_adjusted: float) -> Finding:
    low, high = test.worse.bounds(ERROR)
    changes = sorted((test.change(low), test.change(high)))
    bounds = changes if all(math.isfinite(change) for change in changes) else [None, None]
    found = replace(
        test.finding,
        low=bounds[0],
        high=bounds[1],
        p_value=test.p_value,
        p_adjusted=p_adjusted,
        test="known errors" if math.isinf(test.worse.degrees) else "Welch's t",
    )
    if found.kind == "quality":
        ends = sorted((test.sign * low, test.sign * high))
        found = replace(found, difference=test.sign * test.worse.mean, difference_low=ends[0], difference_high=ends[1])
    if test.comparison is not None:
        found = replace(
            found,
            test=test.comparison.description,
            p_sign_flip=test.comparison.sign_flip,
            p_wilcoxon=test.comparison.wilcoxon,
        )
    if found.judged and p_value <= ERROR:
        return replace(found, verdict=Verdict.REGRESSED)
    if high < 0:
        return replace(found, verdict=Verdict.IMPROVED)
    if found.judged and high < test.allowed:
        return replace(found, verdict=Verdict.OK)
    more = _seeds_to_decide(test)
    needed = f"about {more} {test.processes} per side would decide" if more else ""
    return replace(found, verdict=Verdict.INCONCLUSIVE, reason="; ".join(filter(None, (found.reason, needed))))


def _seeds_to_decide(test: _Test) -> int | None:
    """Return how many seeds per side would detect the distance from the limit with probability 0.95; None: unknown."""
    distance = abs(test.worse.mean - test.allowed)
    if distance == 0 or test.worse.standard_error == 0 or test.samples < 2:
        return None
    normal = statistics.NormalDist()
    reach = normal.inv_cdf(1 - ERROR) + normal.inv_cdf(0.95)
    seeds = test.samples * (reach * test.worse.standard_error / distance) ** 2
    return math.ceil(seeds) + 1 if seeds < 1e6 else None


def _relative_change(logarithm: float) -> float:
    """Return the relative change for a log ratio; infinite if a float overflows."""
    return math.expm1(logarithm) if logarithm < _LARGEST_LOGARITHM else math.inf


def _mean(values: Sequence[float]) -> float:
    """Return the geometric mean, which is consistent between speeds and times."""
    return math.exp(statistics.mean(math.log(value) for value in values))


def _change(base: float | None, head: float | None) -> float | None:
    if base is None or head is None or not (math.isfinite(base) and math.isfinite(head)):
        return None
    return head / base - 1 if base else (0.0 if head == base else None)


def _incomparable(before: CellMeasurements, after: CellMeasurements) -> str:
    """Return why the speeds of two sides cannot be compared, or an empty text."""
    if before.seconds != after.seconds:
        return "one side has times, the other images per second"
    if mixed := _conflict(before.machine_conflict, after.machine_conflict):
        return f"measured under different conditions {mixed}"
    return incomparable(before.machine, after.machine)


def _conflict(base: str, head: str) -> str:
    """Describe what differs within one side or within both."""
    return "; ".join(f"within {side}: {found}" for side, found in (("base", base), ("head", head)) if found)


def _limit_text(limit: Limit) -> str:
    return f"{100 * limit.amount:g} %" if limit.relative else f"{limit.amount:g}"
