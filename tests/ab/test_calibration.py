"""Calibrations by each quantity, from blocks that are invented."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from genbench.ab import calibration
from genbench.ab.session import Block, Measured
from genbench.gate.sequential import LookSchedule
from genbench.results.calibration import Calibration
from genbench.results.comparison import Quantity

ORDER = "ABBABAAB" * 2
MACHINE = {"processor": "one for a test", "cores": 2.0, "threads": 1, "device": "cpu"}


class FakeSession:
    """Blocks whose wall times are noise, and whose processor times show a slowdown."""

    def __init__(self, slowdown: float, seed: int) -> None:
        self._slowdown, self._draws = slowdown, random.Random(seed)

    def block(self, number: int, cells: Sequence[str]) -> Block:
        factor = {"A": 1.0, "B": 1.0 + self._slowdown}
        wall, processor = (
            tuple(factor[arm] * math.exp(self._draws.gauss(0, spread)) for arm in ORDER) for spread in (0.5, 0.02)
        )
        return Block(number, tuple(Measured(cell, 1, ORDER, wall, processor) for cell in cells), None)


def calibrated(quantity: Quantity) -> Calibration:
    kinds: Any = {kind: (FakeSession(0.0, 1), FakeSession(0.06, 2)) for kind in ("wall", "processor")}
    recorded = calibration.measure(kinds, "gan", blocks=12)
    assert {len(one.seconds) for one in recorded.values()} == {24}
    of_kind = recorded["wall" if quantity == "wall" else "processor"]
    ratios = of_kind.log_ratios(quantity)
    return calibration.calibrate(
        "gan", *ratios, of_kind.seconds, 0.05, 0.05, LookSchedule(), MACHINE, "2026-01-01", quantity, decisions=200
    )


def test_each_quantity_has_its_own_error_rates() -> None:
    wall, processor = calibrated("wall"), calibrated("processor")
    assert processor.spread < wall.spread / 5
    caught = {one.quantity: one.rates[1].regressed for one in (wall, processor)}
    assert caught["processor"] > 0.95 > caught["wall"]
    assert processor.rates[0].regressed == 0.0


def test_a_quantity_that_was_not_measured_has_no_calibration() -> None:
    kinds: Any = {"processor": (FakeSession(0.0, 1), FakeSession(0.06, 2))}
    recorded = calibration.measure(kinds, "gan", blocks=2)["processor"]
    assert recorded.log_ratios("instructions") == ([], [])
    assert len(recorded.log_ratios("processor")[0]) == 2


def test_calibrations_are_stored_by_quantity_and_those_of_before_are_by_wall_time() -> None:
    processor = calibrated("processor")
    calibration.store(processor)
    assert calibration.known(MACHINE, "gan", "processor") == processor
    assert calibration.known(MACHINE, "gan") is None
    old = msgspec.to_builtins(calibrated("wall"))
    del old["quantity"]
    path = calibration.store(msgspec.convert(old, Calibration))
    path.write_bytes(msgspec.json.encode(old))
    found = calibration.known(MACHINE, "gan")
    assert found is not None
    assert found.quantity == "wall"


@pytest.mark.parametrize("quantity", ["wall", "processor"])
def test_the_rates_are_those_of_the_decisions(quantity: Quantity) -> None:
    for rates in calibrated(quantity).rates:
        assert rates.regressed + rates.passed + rates.inconclusive == pytest.approx(1.0)
