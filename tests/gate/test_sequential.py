"""Decisions at planned looks: false alarms at the stated rate, and never `ok` for lack of data."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.gate.sequential import LookSchedule, arms_are_biased, decide
from genbench.gate.verdict import Verdict, worst
from genbench.stats.holm import holm

LOOKS = LookSchedule()
SPREAD = 0.035  # between pairs of processes, as measured on two shared cores


def simulate(true_slowdown: float, limit: float, seed: int, trials: int = 1_000) -> tuple[Counter[Verdict], list[int]]:
    draws = random.Random(seed)
    verdicts: Counter[Verdict] = Counter()
    blocks = []
    for _ in range(trials):
        ratios: list[float] = []
        verdict = Verdict.INCONCLUSIVE
        while verdict is Verdict.INCONCLUSIVE and len(ratios) < LOOKS.blocks[-1]:
            ratios.append(draws.gauss(math.log1p(true_slowdown), SPREAD))
            if LOOKS.due(len(ratios)):
                verdict = decide({"gan": ratios}, limit, LOOKS)["gan"].verdict
        verdicts[verdict] += 1
        blocks.append(len(ratios))
    return verdicts, sorted(blocks)


def test_the_same_code_raises_no_alarm_and_is_passed() -> None:
    verdicts, _ = simulate(0.0, 0.05, seed=1)
    assert verdicts[Verdict.REGRESSED] <= 10  # of 1,000
    assert verdicts[Verdict.OK] + verdicts[Verdict.IMPROVED] >= 950


@pytest.mark.slow
def test_a_slowdown_exactly_at_the_limit_raises_alarms_at_the_stated_rate() -> None:
    verdicts, _ = simulate(0.05, 0.05, seed=2, trials=2_000)
    assert verdicts[Verdict.REGRESSED] / 2_000 <= LOOKS.error + 0.008  # 3.5 standard errors
    assert (verdicts[Verdict.OK] + verdicts[Verdict.IMPROVED]) / 2_000 <= LOOKS.error + 0.008


@pytest.mark.parametrize(("slowdown", "limit"), [(0.05, 0.0), (0.10, 0.05)])
def test_slowdowns_are_detected(slowdown: float, limit: float) -> None:
    verdicts, blocks = simulate(slowdown, limit, seed=3)
    assert verdicts[Verdict.REGRESSED] >= 950
    assert blocks[len(blocks) // 2] <= 16


def test_with_a_limit_of_zero_the_same_code_is_inconclusive() -> None:
    verdicts, _ = simulate(0.0, 0.0, seed=4, trials=300)
    assert verdicts[Verdict.INCONCLUSIVE] >= 285


@pytest.mark.slow
def test_ten_cells_raise_no_more_false_alarms_than_one() -> None:
    draws = random.Random(6)
    alarms = 0
    for _ in range(500):
        ratios = {n: [draws.gauss(math.log1p(0.05), SPREAD) for _ in range(16)] for n in range(10)}
        alarms += any(d.verdict is Verdict.REGRESSED for d in decide(ratios, 0.05, LOOKS).values())
    assert alarms / 500 <= 0.003 + 0.012


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40), st.floats(0, 1))
def test_nothing_passes_before_the_first_look(ratios: list[float], limit: float) -> None:
    decision = decide({"x": ratios}, limit, LOOKS)["x"]
    usable = sum(math.isfinite(ratio) for ratio in ratios)
    if usable < LOOKS.blocks[0]:
        assert decision.verdict in (Verdict.NO_DATA, Verdict.INCONCLUSIVE)
    if not usable:
        assert decision.verdict is Verdict.NO_DATA


@given(st.lists(st.floats(-0.5, 0.5), min_size=8, max_size=32), st.floats(0, 0.3))
def test_a_verdict_agrees_with_its_bounds(ratios: list[float], limit: float) -> None:
    decision = decide({"x": ratios}, limit, LOOKS)["x"]
    allowed = math.log1p(limit)
    if decision.verdict is Verdict.REGRESSED:
        assert decision.low >= allowed - 1e-9
    elif decision.verdict is Verdict.OK:
        assert 0 <= decision.high < allowed
    elif decision.verdict is Verdict.IMPROVED:
        assert decision.high < 0
    else:
        assert decision.low <= allowed <= decision.high


def test_identical_blocks_are_decided_at_once() -> None:
    assert decide({"x": [0.0] * 8}, 0.05, LOOKS)["x"].verdict is Verdict.OK
    assert decide({"x": [0.06] * 8}, 0.05, LOOKS)["x"].verdict is Verdict.REGRESSED
    assert decide({"x": [math.log1p(0.05)] * 8}, 0.05, LOOKS)["x"].verdict is Verdict.INCONCLUSIVE


def test_an_inconclusive_cell_states_how_many_blocks_it_needs() -> None:
    ratios = [0.04 + 0.03 * (-1) ** n for n in range(8)]
    decision = decide({"x": ratios}, 0.05, LOOKS)["x"]
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.more_blocks is not None
    assert decision.more_blocks > 50
    few = decide({"x": ratios[:3]}, 0.05, LOOKS)["x"]
    assert few.more_blocks == 5


def test_a_control_that_differs_reveals_biased_arms() -> None:
    assert arms_are_biased([0.05, 0.04, 0.06, 0.05, 0.05])
    assert arms_are_biased([-0.05, -0.04, -0.06, -0.05, -0.05])
    assert not arms_are_biased([0.01, -0.02, 0.005, 0.0, 0.01])
    assert not arms_are_biased([0.3])
    assert not arms_are_biased([math.nan, math.nan, 0.5])


@pytest.mark.parametrize(
    ("blocks", "errors"),
    [((), ()), ((1, 4), (0.01, 0.01)), ((8, 4), (0.01, 0.01)), ((4,), (0.0,)), ((4,), (0.6,)), ((4, 8), (0.01,))],
)
def test_invalid_looks_are_rejected(blocks: tuple[int, ...], errors: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="looks"):
        LookSchedule(blocks, errors)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}
    with pytest.raises(ValueError, match="p-value"):
        holm({"a": math.nan})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(chances: list[float]) -> None:
    adjusted = holm(dict(enumerate(chances)))
    assert all(adjusted[n] >= chance for n, chance in enumerate(chances))
    order = sorted(range(len(chances)), key=chances.__getitem__)
    assert [adjusted[n] for n in order] == sorted(adjusted.values())


def test_the_overall_verdict_is_the_worst_of_its_parts() -> None:
    assert worst([]) is Verdict.NO_DATA
    assert worst([Verdict.OK, Verdict.REGRESSED, Verdict.NO_DATA]) is Verdict.REGRESSED
    assert worst([Verdict.IMPROVED, Verdict.OK]) is Verdict.OK
    assert worst([Verdict.IMPROVED, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert worst([Verdict.IMPROVED]) is Verdict.IMPROVED
    assert {verdict.exit_code for verdict in Verdict} == {0, 1, 3, 4, 5}
