"""The verdict on stored results: what passes, what does not, and that nothing passes for lack of data."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from genbench.errors import UsageError
from genbench.gate.judge import Finding, judge, overall
from genbench.gate.limits import (
    Limit,
    Limits,
    parse_limit,
    read_limits,
)
from genbench.gate.measurements import CellMeasurements, Measurements, Quality
from genbench.gate.verdict import Verdict
from genbench.stats.welch import known_errors, welch

HERE = {"machine": "x", "threads": "2"}
FIVE = Limit(0.05, relative=True)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def entry(**given: Any) -> CellMeasurements:
    return CellMeasurements(
        **({"settings": {"batch_size": 64}, "machine": HERE, "counters": {"operations": 100.0}} | given)
    )


def found(
    base: CellMeasurements | None, head: CellMeasurements | None, limits: Limits | None = None, strict: bool = False
) -> list[Finding]:
    sides = [Measurements("s", {} if side is None else {"gan": side}) for side in (base, head)]
    return judge(*sides, limits or Limits(), strict)


def one(quantity: str, *given: Any, **options: Any) -> Finding:
    (finding,) = [finding for finding in found(*given, **options) if finding.quantity == quantity]
    return finding


def quality(*values: float, error: float | None = 0.1, direction: str = "lower", **protocol: Any) -> dict[str, Quality]:
    return {"fd": Quality(values, [error] * len(values), direction, {"images": 100, **protocol})}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "head", "limit", "verdict"),
    [
        (100, 100, "0%", "ok"),
        (100, 101, "0%", "regressed"),
        (100, 99, "0%", "improved"),
        (100, 102, "2%", "ok"),
        (100, 102.001, "2%", "regressed"),
        (0, 1, "2%", "regressed"),
        (0, 0, "0%", "ok"),
        (100, math.nan, "0%", "no-data"),
    ],
)
def test_counters_are_compared_exactly(base: float, head: float, limit: str, verdict: str) -> None:
    limits = read_limits({"counters": {"operations": limit}})
    finding = one("operations", entry(counters={"operations": base}), entry(counters={"operations": head}), limits)
    assert finding.verdict == verdict


def test_a_counter_missing_in_head_does_not_pass() -> None:
    assert one("operations", entry(), entry(counters={})).verdict is Verdict.NO_DATA
    new = one("peak_bytes", entry(), entry(counters={"operations": 100.0, "peak_bytes": 5.0}))
    assert not new.judged


def test_counters_under_different_torch_versions_are_not_comparable() -> None:
    sides = [
        entry(machine={**HERE, "torch": torch}, counters={"operations": count})
        for torch, count in (("2.8", 100.0), ("2.9", 105.0))
    ]
    finding = one("operations", *sides)
    assert finding.verdict is Verdict.NOT_COMPARABLE
    assert "torch is 2.8 in base, 2.9 in head" in finding.reason
    same = entry(machine={**HERE, "torch": "2.9"}, counters={"operations": 100.0})
    assert one("operations", sides[0], same).verdict is Verdict.OK


def test_speed_is_judged_over_processes_by_welchs_test() -> None:
    base, head = [100.0, 102.0, 98.0, 101.0], [80.0, 83.0, 79.0, 81.0]
    limits = Limits(max_slowdown=FIVE)
    finding = one("throughput", entry(speeds=base), entry(speeds=head), limits)
    assert finding.verdict is Verdict.REGRESSED
    assert finding.change == pytest.approx(math.exp(sum(map(math.log, head)) / 4 - sum(map(math.log, base)) / 4) - 1)
    assert finding.high is not None
    assert finding.low is not None
    assert finding.low < finding.change < finding.high < -0.05
    assert one("throughput", entry(speeds=head), entry(speeds=base), limits).verdict is Verdict.IMPROVED
    times = [entry(speeds=[1 / speed for speed in side], seconds=True) for side in (base, head)]
    turned = one("time", *times, limits)
    assert turned.verdict is Verdict.REGRESSED
    assert turned.change == pytest.approx(1 / (1 + finding.change) - 1)


def test_one_process_per_side_is_always_inconclusive() -> None:
    limits = Limits(max_slowdown=FIVE)
    for head in (50.0, 100.0, 200.0):
        finding = one("throughput", entry(speeds=[100.0]), entry(speeds=[head]), limits)
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "seeds" in finding.reason


def test_speeds_from_different_machines_are_not_judged_and_name_the_field() -> None:
    there = entry(machine={**HERE, "threads": "4"}, speeds=[10.0, 11.0])
    limits = Limits(max_slowdown=FIVE)
    lenient = one("throughput", entry(speeds=[100.0, 101.0]), there, limits)
    assert (lenient.verdict, lenient.judged) == (Verdict.NOT_COMPARABLE, False)
    assert "threads is 2 in base, 4 in head" in lenient.reason
    assert one("throughput", entry(speeds=[100.0, 101.0]), there, limits, strict=True).judged
    assert overall(found(entry(speeds=[1.0]), there, limits)) is Verdict.OK  # its counters agree


def test_speed_without_a_limit_is_shown_and_not_judged() -> None:
    finding = one("throughput", entry(speeds=[100.0, 101.0]), entry(speeds=[10.0, 11.0]))
    assert not finding.judged


@pytest.mark.parametrize(
    ("base", "head", "direction", "verdict"),
    [
        ((20.0, 20.4, 19.8), (20.1, 20.3, 19.9), "lower", "ok"),
        ((20.0, 20.4, 19.8), (30.0, 30.4, 29.8), "lower", "regressed"),
        ((20.0, 20.4, 19.8), (30.0, 30.4, 29.8), "higher", "improved"),
        ((20.0, 20.4, 19.8), (15.0, 15.4, 14.8), "higher", "regressed"),
        ((20.0, 28.0, 12.0), (21.0, 30.0, 13.0), "lower", "inconclusive"),
    ],
)
def test_quality_is_judged_over_seeds(base: Any, head: Any, direction: str, verdict: str) -> None:
    limits = Limits(metrics={"fd": Limit(0.10, relative=True)})
    sides = [entry(qualities=quality(*values, direction=direction)) for values in (base, head)]
    assert one("fd", *sides, limits).verdict == verdict


def test_one_seed_has_only_the_error_of_drawing_samples_and_a_note() -> None:
    limits = Limits(metrics={"fd": Limit(1.0, relative=False)})
    finding = one("fd", entry(qualities=quality(20.0)), entry(qualities=quality(20.1)), limits)
    assert finding.verdict is Verdict.OK
    assert "only the drawing of samples" in finding.reason
    unknown = one("fd", entry(qualities=quality(20.0, error=None)), entry(qualities=quality(20.1)), limits)
    assert unknown.verdict is Verdict.INCONCLUSIVE
    same = one("fd", entry(qualities=quality(20.0, error=None)), entry(qualities=quality(20.0, error=None)), limits)
    assert same.verdict is Verdict.OK


def test_different_protocols_are_not_comparable() -> None:
    sides = [entry(qualities=quality(20.0, extractor=name)) for name in ("a", "b")]
    finding = one("fd", *sides, Limits(other_metrics=FIVE))
    assert finding.verdict is Verdict.NOT_COMPARABLE
    assert "extractor is a in base, b in head" in finding.reason
    assert overall(found(*sides, Limits(other_metrics=FIVE))) is Verdict.NOT_COMPARABLE


def test_different_settings_make_the_cell_not_comparable_and_name_the_field() -> None:
    findings = found(entry(), entry(settings={"batch_size": 32}))
    assert [finding.verdict for finding in findings] == [Verdict.NOT_COMPARABLE]
    assert "batch_size is 64 in base, 32 in head" in findings[0].reason
    newer = entry(settings={"batch_size": 64, "a_newer_field": 1})
    assert overall(found(entry(), newer)) is Verdict.OK


def test_new_cells_are_reported_and_missing_or_failed_ones_do_not_pass() -> None:
    assert overall(found(None, entry())) is Verdict.NO_DATA  # nothing was compared
    assert overall(found(entry(), None)) is Verdict.NO_DATA
    assert overall(found(entry(), entry(failures=["seed 0: diverged"]))) is Verdict.NO_DATA
    assert overall(found(None, None)) is Verdict.NO_DATA
    both = judge(Measurements("b", {"gan": entry()}), Measurements("h", {"gan": entry(), "fresh": entry()}), Limits())
    assert overall(both) is Verdict.OK


@given(
    base=st.lists(NUMBERS, max_size=4), head=st.lists(NUMBERS, max_size=4), error=st.none() | NUMBERS, counter=NUMBERS
)
@example(base=[1.0, 1.0], head=[1.0, 6e18], error=None, counter=0.0)  # bounds beyond the range of a float
def test_no_input_causes_a_wrong_pass_or_an_exception(
    base: list[float], head: list[float], error: float | None, counter: float
) -> None:
    limits = Limits(max_slowdown=FIVE, other_metrics=FIVE)
    before = entry(speeds=base, qualities=quality(*base, error=error), counters={"operations": 1.0})
    after = entry(speeds=head, qualities=quality(*head, error=error), counters={"operations": counter})
    for finding in found(before, after, limits):
        if finding.kind == "counter" and not math.isfinite(counter):
            assert finding.verdict is Verdict.NO_DATA
        if finding.kind == "speed" and min(len(base), len(head)) < 2:
            assert finding.verdict in (Verdict.INCONCLUSIVE, Verdict.NO_DATA)
        if finding.kind == "quality" and (not base or not head):
            assert finding.verdict is Verdict.NO_DATA


def test_many_cells_of_the_same_code_raise_few_false_alarms() -> None:
    draws = random.Random(8)
    limits = Limits(max_slowdown=Limit(0.0, relative=True))
    alarms = 0
    for _ in range(300):
        sides = [
            Measurements(
                name, {str(n): entry(speeds=[draws.lognormvariate(5, 0.05) for _ in range(4)]) for n in range(8)}
            )
            for name in "bh"
        ]
        alarms += overall(judge(*sides, limits)) is Verdict.REGRESSED
    assert alarms <= 12  # 1 % of 300 are three


def test_welch_agrees_with_scipy() -> None:
    base, head = [1.0, 2.0, 4.0], [2.0, 5.0, 7.0, 9.0]
    peer = scipy.stats.ttest_ind(head, base, equal_var=False)
    mine = welch(base, head)
    assert mine.degrees == pytest.approx(peer.df)
    assert mine.mean / mine.standard_error == pytest.approx(peer.statistic)
    assert mine.p_value(0.0) == pytest.approx(peer.pvalue / 2)
    interval = peer.confidence_interval(0.95)
    assert mine.bounds(0.025) == pytest.approx((interval.low, interval.high))


def test_equal_samples_have_no_error_and_too_few_samples_are_rejected() -> None:
    assert welch([1.0, 1.0], [2.0, 2.0]).bounds(0.01) == (1.0, 1.0)
    assert known_errors(1.0, 3.0, 2.0, 4.0).standard_error == 5.0
    for base in ([1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="at least two values"):
            welch(base, [1.0, 2.0])


def test_limits_are_read_by_cell_and_model() -> None:
    limits = read_limits(
        {
            "max-slowdown": "5%",
            "counters": {"peak-bytes": "2%"},
            "metrics": {"psnr": 0.5},
            "cells": {"dcgan": {"max-slowdown": "10%"}, "dcgan · hinge · x": {"metrics": {"psnr": 1}}},
        }
    )
    assert limits.of("gan · a · b").max_slowdown == FIVE
    assert limits.of("dcgan · a · b").max_slowdown == Limit(0.10, relative=True)
    own = limits.of("dcgan · hinge · x")
    assert own.max_slowdown == Limit(0.10, relative=True)
    assert own.metrics == {"psnr": Limit(1.0, relative=False)}
    assert own.counters == {"peak_bytes": Limit(0.02, relative=True)}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"max-slowdwon": "5%"}, "max_slowdown"),
        ({"counters": {"operation": "0%"}}, "operations"),
        ({"counters": 5}, "not a table"),
        ({"max-slowdown": "five"}, "cannot be read"),
        ({"max-slowdown": -1}, "cannot be read"),
        ({"max-slowdown": True}, "cannot be read"),
        ({"metrics": {"fd": "3"}}, "cannot be read"),
        ({"cells": {"gan": {"cells": {}}}}, "not a limit"),
        (None, "not a table"),
    ],
)
def test_invalid_limits_are_rejected(table: object, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_limits(table)


def test_shares_and_numbers() -> None:
    assert parse_limit("5%", "x").allowance(-40.0) == 2.0
    assert parse_limit(0.5, "x").allowance(40.0) == 0.5
