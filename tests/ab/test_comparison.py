"""A comparison from its blocks to its verdict, with a session that invents the blocks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from genbench.ab.comparison import Comparing, geometric_mean
from genbench.ab.session import Block, Measured, Protocol, Sides
from genbench.gate.sequential import LookSchedule
from genbench.gate.verdict import Verdict
from genbench.report.gate import ab
from genbench.results.comparison import Comparison

LOOKS = LookSchedule((4, 8), (0.002, 0.008))
TRUTH = Callable[[str, random.Random], float]


class FakeSession:
    """Blocks whose log ratios come from a function; NaN is a cell that fails."""

    protocol = Protocol()

    def __init__(self, truth: TRUTH, control: float = 0.0) -> None:
        self.truth, self.control, self.asked = truth, control, list[list[str]]()
        self._draws = random.Random(3)

    def block(self, number: int, cells: Sequence[str]) -> Block:
        self.asked.append(list(cells))
        ratios = {cell: self.truth(cell, self._draws) for cell in cells}
        measured = tuple(windows(cell, ratio) for cell, ratio in ratios.items() if math.isfinite(ratio))
        failed = {cell: "head: it broke" for cell, ratio in ratios.items() if math.isnan(ratio)}
        return Block(number, measured, windows("control", self._draws.gauss(self.control, 0.004)), failed)


def windows(cell: str, log_ratio: float) -> Measured:
    return Measured(cell, 10, "ABBA", (1.0, math.exp(log_ratio), math.exp(log_ratio), 1.0))


def sides(*cells: str, **more: Any) -> Sides:
    empty: dict[str, Any] = {"only_base": (), "only_head": (), "not_comparable": {}, "impossible": {}, "versions": {}}
    return Sides(cells=cells, **(empty | more))


def compared(truth: TRUTH, given: Sides, control: float = 0.0, limit: float = 0.05) -> Comparing:
    comparing = Comparing(FakeSession(truth, control), given, limit, LOOKS)  # type: ignore[arg-type]
    comparing.run()
    return comparing


def verdicts(comparing: Comparing) -> dict[str, str]:
    return {decision.cell: decision.verdict for decision in comparing.decisions()}


def slower(**shares: float) -> TRUTH:
    return lambda cell, draws: draws.gauss(math.log1p(shares[cell]), 0.005)


def test_each_cell_gets_its_verdict_and_the_comparison_the_worst() -> None:
    comparing = compared(slower(gan=0.0, vae=0.2, dcgan=-0.2), sides("gan", "vae", "dcgan"))
    assert verdicts(comparing) == {"gan": "ok", "vae": "regressed", "dcgan": "improved"}
    assert comparing.verdict(comparing.decisions()) is Verdict.REGRESSED
    assert len(comparing.blocks) == 4  # the first look decided everything


def test_only_undecided_cells_are_measured_further() -> None:
    comparing = compared(slower(plain=0.5, close=0.0497), sides("plain", "close"))
    asked = comparing.session.asked  # type: ignore[attr-defined]
    assert asked[:4] == [["plain", "close"]] * 4
    assert asked[4:] == [["close"]] * 4
    assert verdicts(comparing) == {"plain": "regressed", "close": "inconclusive"}
    assert comparing.verdict(comparing.decisions()) is Verdict.REGRESSED


def test_a_change_near_the_limit_is_inconclusive_and_says_how_many_blocks_would_decide() -> None:
    comparing = compared(slower(gan=0.05), sides("gan"))
    (decision,) = comparing.decisions()
    assert decision.verdict == "inconclusive"
    assert decision.more_blocks is None or decision.more_blocks > 0
    assert comparing.verdict([decision]) is Verdict.INCONCLUSIVE


def test_a_cell_that_always_fails_is_abandoned_and_never_passes() -> None:
    comparing = compared(lambda cell, draws: math.nan if cell == "bad" else draws.gauss(0, 0.005), sides("good", "bad"))
    assert verdicts(comparing) == {"good": "ok", "bad": "no-data"}
    assert sum("bad" in cells for cells in comparing.session.asked) == 2  # type: ignore[attr-defined]
    assert comparing.verdict(comparing.decisions()) is Verdict.NO_DATA
    assert "it broke" in next(d.reason for d in comparing.decisions() if d.cell == "bad")


def test_a_single_failure_costs_one_block() -> None:
    fail = iter([False, True, *[False] * 20])
    comparing = compared(lambda cell, draws: math.nan if next(fail) else draws.gauss(0, 0.005), sides("gan"))
    assert verdicts(comparing) == {"gan": "ok"}


def test_new_cells_do_not_fail_and_missing_cells_do_not_pass() -> None:
    comparing = compared(slower(gan=0.0), sides("gan", only_head=("fresh",)))
    fresh = next(d for d in comparing.decisions() if d.cell == "fresh")
    assert fresh.presence == "new"
    assert comparing.verdict(comparing.decisions()) is Verdict.OK
    gone = compared(slower(gan=0.0), sides("gan", only_base=("old",)))
    assert gone.verdict(gone.decisions()) is Verdict.NO_DATA


def test_a_comparison_without_cells_never_passes() -> None:
    comparing = compared(slower(), sides(only_head=("fresh",)))
    assert comparing.blocks == []
    assert comparing.verdict(comparing.decisions()) is Verdict.NO_DATA


def test_different_settings_are_not_comparable() -> None:
    comparing = compared(slower(gan=0.0), sides("gan", not_comparable={"vae": "batch_size: 64 in base, 128 in head"}))
    assert verdicts(comparing) == {"gan": "ok", "vae": "not-comparable"}
    assert comparing.verdict(comparing.decisions()) is Verdict.NOT_COMPARABLE


@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_a_changed_control_makes_everything_inconclusive(truth: float) -> None:
    comparing = compared(slower(gan=truth), sides("gan"), control=0.1)
    assert verdicts(comparing) == {"gan": "inconclusive"}
    assert "neither arm affects" in comparing.decisions()[0].reason


def test_measuring_ends_when_the_time_is_up() -> None:
    ticks = iter(range(0, 10_000, 10))  # each reading of the clock is ten seconds later
    comparing = Comparing(
        FakeSession(slower(gan=0.0)),  # type: ignore[arg-type]
        sides("gan"),
        0.05,
        LOOKS,
        clock=lambda: float(next(ticks)),
    )
    comparing.run(seconds=70)
    assert 1 <= len(comparing.blocks) < 4
    assert verdicts(comparing) == {"gan": "inconclusive"}


def test_the_geometric_mean_of_a_doubling_and_a_halving_is_no_change() -> None:
    comparing = compared(lambda cell, _: math.log(2.0) if cell == "a" else -math.log(2.0), sides("a", "b"))
    assert geometric_mean(comparing.decisions()) == pytest.approx(0.0)
    assert geometric_mean([]) is None


def written(comparing: Comparing) -> Comparison:
    decisions = comparing.decisions()
    return Comparison(
        created="2026-01-01T00:00:00+00:00",
        base="main <b>",
        head="topic | x",
        limit=comparing.limit,
        looks=list(LOOKS.blocks),
        errors=list(LOOKS.errors),
        window_seconds=0.25,
        verdict=comparing.verdict(decisions),
        cells=decisions,
        geometric_mean=geometric_mean(decisions),
        blocks=comparing.blocks,
    )


def test_every_output_format_shows_the_findings() -> None:
    given = sides("gan", "vae", only_head=("fresh",), not_comparable={"other": "batch_size: 1 in base, 2 in head"})
    comparison = written(compared(slower(gan=0.0, vae=0.2), given))
    shown = ab.text(comparison)
    assert "Verdict: regressed" in shown
    assert "batch_size: 1 in base, 2 in head" in shown
    summary = ab.summary(comparison)
    assert summary.index("vae") < summary.index("gan")  # the worst first
    assert "<b>" not in summary
    tests = ElementTree.fromstring(ab.cases(comparison)).find("testsuite")
    assert tests is not None
    assert {key: tests.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
