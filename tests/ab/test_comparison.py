"""A comparison from its blocks to its verdict, with a session that invents the blocks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from genbench.ab.comparison import Comparing, geometric_mean
from genbench.ab.session import Block, Measured, Protocol, Sides
from genbench.gate.quantity import INVISIBLE
from genbench.gate.sequential import LookSchedule
from genbench.gate.verdict import Verdict
from genbench.report.gate import ab
from genbench.results.comparison import Comparison, Quantity, QuantityChoice

LOOKS = LookSchedule((4, 8), (0.002, 0.008))
TRUTH = Callable[[str, random.Random], float]


class FakeSession:
    """Blocks whose log ratios come from functions, of wall time and processor time; NaN is a cell that fails."""

    protocol = Protocol()

    def __init__(self, truth: TRUTH, control: float = 0.0, processor: TRUTH | None = None) -> None:
        self.truth, self.control, self.asked = truth, control, list[list[str]]()
        self.processor = processor
        self._draws = random.Random(3)

    def block(self, number: int, cells: Sequence[str]) -> Block:
        self.asked.append(list(cells))
        ratios = {cell: self.truth(cell, self._draws) for cell in cells}
        measured = tuple(
            windows(cell, ratio, None if self.processor is None else self.processor(cell, self._draws))
            for cell, ratio in ratios.items()
            if math.isfinite(ratio)
        )
        failed = {cell: "head: it broke" for cell, ratio in ratios.items() if math.isnan(ratio)}
        control = self._draws.gauss(self.control, 0.004)
        return Block(number, measured, windows("control", control, None if self.processor is None else control), failed)


def windows(cell: str, log_ratio: float, processor: float | None = None) -> Measured:
    return Measured(cell, 10, "ABBA", alternating(log_ratio), () if processor is None else alternating(processor))


def alternating(log_ratio: float) -> tuple[float, ...]:
    return (1.0, math.exp(log_ratio), math.exp(log_ratio), 1.0)


def sides(*cells: str, **more: Any) -> Sides:
    empty: dict[str, Any] = {"only_base": (), "only_head": (), "not_comparable": {}, "impossible": {}, "versions": {}}
    return Sides(cells=cells, **(empty | more))


def compared(
    truth: TRUTH,
    given: Sides,
    control: float = 0.0,
    limit: float = 0.05,
    processor: TRUTH | None = None,
    decide_by: Quantity = "wall",
) -> Comparing:
    session = FakeSession(truth, control, processor)
    comparing = Comparing(session, given, limit, LOOKS, QuantityChoice(quantity=decide_by))  # type: ignore[arg-type]
    comparing.run()
    return comparing


def verdicts(comparing: Comparing) -> dict[str, str]:
    return {decision.cell: decision.verdict for decision in comparing.decisions()}


def slower(spread: float = 0.005, **shares: float) -> TRUTH:
    return lambda cell, draws: draws.gauss(math.log1p(shares[cell]), spread)


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
        decided_by=comparing.decided_by,
        verdict=comparing.verdict(decisions),
        cells=decisions,
        geometric_mean=geometric_mean(decisions),
        blocks=comparing.blocks,
    )


def test_where_wall_time_is_noise_processor_time_decides_and_both_are_shown() -> None:
    noise = slower(0.5, same=0.0, worse=0.2)
    given = sides("same", "worse")
    by_wall = compared(noise, given, processor=slower(same=0.0, worse=0.2))
    assert verdicts(by_wall) == {"same": "inconclusive", "worse": "inconclusive"}
    assert {other.verdict for decision in by_wall.decisions() for other in decision.others} == {"ok", "regressed"}
    comparing = compared(noise, given, processor=slower(same=0.0, worse=0.2), decide_by="processor")
    assert verdicts(comparing) == {"same": "ok", "worse": "regressed"}
    assert len(comparing.blocks) == LOOKS.blocks[0]
    for decision in comparing.decisions():
        assert decision.quantity == "processor"
        assert [(other.quantity, other.verdict) for other in decision.others] == [("wall", "inconclusive")]
    comparison = written(comparing)
    for shown in (ab.text(comparison), ab.summary(comparison)):
        assert "processor time" in shown
        assert "wall time" in shown
        assert "(inconclusive)" in shown
        assert INVISIBLE["processor"][1:] in shown


def test_a_slowdown_that_only_waits_is_invisible_to_processor_time_and_the_text_says_so() -> None:
    comparing = compared(slower(gan=0.3), sides("gan"), processor=slower(gan=0.0), decide_by="processor")
    assert verdicts(comparing) == {"gan": "ok"}
    comparison = written(comparing)
    for shown in (ab.text(comparison), ab.summary(comparison)):
        assert "(regressed)" in shown
        assert "look for waiting" in shown
    quiet = written(compared(slower(gan=0.0), sides("gan"), processor=slower(gan=0.0), decide_by="processor"))
    assert "look for waiting" not in ab.text(quiet)


def test_the_control_is_judged_by_the_deciding_quantity() -> None:
    comparing = compared(slower(gan=0.0), sides("gan"), control=0.1, processor=slower(gan=0.0), decide_by="processor")
    assert verdicts(comparing) == {"gan": "inconclusive"}
    assert "more processor time" in comparing.decisions()[0].reason


def test_a_cell_without_the_deciding_quantity_never_passes() -> None:
    assert verdicts(compared(slower(gan=0.0), sides("gan"), decide_by="processor")) == {"gan": "no-data"}


OLD = """{"evidence_version": 1, "created": "2026-01-01T00:00:00+00:00", "base": "main", "head": ".", "versions": {},
"limit": 0.05, "looks": [8, 16, 32], "errors": [0.001, 0.003, 0.006], "window_seconds": 0.125, "settings": {},
"machine": {}, "verdict": "ok", "reason": "", "geometric_mean": 0.001, "notes": [],
"cells": [{"cell": "gan", "verdict": "ok", "presence": "both", "change": 0.001, "low": -0.01, "high": 0.01,
"robust": 0.001, "blocks": 8, "detectable": 0.02, "more_blocks": null, "reason": ""}],
"blocks": [{"number": 1, "seconds": 4.0, "failed": {}, "control": null,
"cells": {"gan": {"steps": 19, "order": "ABBA", "seconds": [1.0, 1.1, 1.1, 1.0], "log_ratio": 0.0953}}}]}"""


def test_a_comparison_from_before_the_choice_of_a_quantity_is_read_as_one_by_wall_time() -> None:
    old = msgspec.json.decode(OLD, type=Comparison)
    assert old.decided_by.quantity == old.cells[0].quantity == "wall"
    assert old.blocks[0].cells["gan"].processor_seconds == []
    assert "Decided by wall time." in ab.text(old)
    assert "+0.1 %" in ab.summary(old)


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
