"""A live comparison: blocks are measured until the planned looks have decided every cell."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from genbench.ab.session import Block, Measured, Session, Sides
from genbench.gate import quantity as quantities
from genbench.gate.sequential import (
    POWER,
    Decision,
    LookSchedule,
    arms_are_biased,
    decide,
)
from genbench.gate.verdict import Verdict, worst
from genbench.results.comparison import (
    BlockRecord,
    CellDecision,
    OtherQuantity,
    Quantity,
    QuantityChoice,
    WindowRecord,
)

MOST_FAILURES = 2  # consecutive blocks in which a cell may fail before it is abandoned


@dataclass
class Comparing:
    """A comparison in progress; its decisions so far can be read at any time, such as after Ctrl-C."""

    session: Session
    sides: Sides
    limit: float
    looks: LookSchedule
    decided_by: QuantityChoice = field(default_factory=QuantityChoice)
    clock: Callable[[], float] = time.perf_counter
    blocks: list[BlockRecord] = field(default_factory=list)
    _decided: dict[str, Decision] = field(default_factory=dict)
    _failures: dict[str, list[str]] = field(default_factory=dict)  # consecutive ones, by cell

    def run(self, on_block: Callable[[Comparing], None] = lambda _: None, seconds: float = math.inf) -> None:
        """Measure until every cell is decided, the last look has been taken, or no time is left for another block."""
        begin = self.clock()
        while self.open_cells and len(self.blocks) < self.looks.blocks[-1]:
            spent = self.clock() - begin
            if self.blocks and spent + statistics.median(block.seconds for block in self.blocks) > seconds:
                break
            self.measure_block()
            on_block(self)

    def measure_block(self) -> None:
        """Measure the cells that are not decided yet, and take a look if one is due."""
        begin = self.clock()
        block = self.session.block(len(self.blocks) + 1, self.open_cells)
        self.blocks.append(_record(block, self.clock() - begin))
        for cell, reason in block.failed.items():
            self._failures.setdefault(cell, []).append(reason)
        for measured in block.measured:
            self._failures.pop(measured.cell, None)
        if self.looks.due(len(self.blocks)):
            for cell, decision in self._decide().items():
                if decision.verdict is not Verdict.INCONCLUSIVE:
                    self._decided.setdefault(cell, decision)

    @property
    def open_cells(self) -> list[str]:
        """The cells that are still measured."""
        abandoned = [cell for cell, reasons in self._failures.items() if len(reasons) >= MOST_FAILURES]
        return [cell for cell in self.sides.cells if cell not in self._decided and cell not in abandoned]

    def log_ratios(self, cell: str, quantity: Quantity | None = None) -> list[float]:
        """Return the log ratios of a cell in the blocks so far, by the deciding quantity if none is named."""
        found = [block.cells[cell] for block in self.blocks if cell in block.cells]
        return _finite(found, quantity or self.decided_by.quantity)

    @property
    def control(self) -> list[float]:
        """The log ratios of the control, by the deciding quantity."""
        found = [block.control for block in self.blocks if block.control is not None]
        return _finite(found, self.decided_by.quantity)

    def decisions(self) -> list[CellDecision]:
        """Return the decision so far on every cell of either arm."""
        now = self._decide()
        moved = arms_are_biased(self.control)
        others = self._others()
        found = [
            self._cell(cell, self._decided.get(cell, now[cell]), moved, others.get(cell, []))
            for cell in self.sides.cells
        ]
        sides = self.sides
        found += [
            CellDecision(cell=cell, verdict=Verdict.NOT_COMPARABLE, reason=text)
            for cell, text in sides.not_comparable.items()
        ]
        found += [CellDecision(cell=c, verdict=Verdict.NO_DATA, reason=text) for c, text in sides.impossible.items()]
        found += [
            CellDecision(cell=cell, verdict=Verdict.NO_DATA, presence="gone", reason="head no longer has it")
            for cell in sides.only_base
        ]
        return found + [
            CellDecision(
                cell=cell, verdict=Verdict.OK, presence="new", reason="base does not have it: nothing to compare"
            )
            for cell in sides.only_head
        ]

    def verdict(self, decisions: Sequence[CellDecision]) -> Verdict:
        """Return the verdict of the whole comparison; cells that only head has do not count."""
        return worst(Verdict(decision.verdict) for decision in decisions if decision.presence != "new")

    def _decide(self, quantity: Quantity | None = None) -> dict[str, Decision]:
        return decide({cell: self.log_ratios(cell, quantity) for cell in self.sides.cells}, self.limit, self.looks)

    def _others(self) -> dict[str, list[OtherQuantity]]:
        """Return, by cell, what the quantities that do not decide say after the same blocks."""
        found: dict[str, list[OtherQuantity]] = {}
        for quantity in quantities.QUANTITIES:
            if quantity == self.decided_by.quantity:
                continue
            for cell, decision in self._decide(quantity).items():
                if decision.effect is not None:
                    other = OtherQuantity(
                        quantity=quantity,
                        verdict=decision.verdict,
                        change=math.expm1(decision.effect.mean),
                        low=math.expm1(decision.low),
                        high=math.expm1(decision.high),
                    )
                    found.setdefault(cell, []).append(other)
        return found

    def _cell(self, cell: str, decision: Decision, moved: bool, others: list[OtherQuantity]) -> CellDecision:
        failures = self._failures.get(cell, [])
        verdict, reason = decision.verdict, decision.reason
        if len(failures) >= MOST_FAILURES:
            verdict, reason = Verdict.NO_DATA, failures[-1]
        elif moved and verdict is not Verdict.NO_DATA:
            verdict = Verdict.INCONCLUSIVE
            reason = (
                f"work that neither arm affects took more {quantities.NAMES[self.decided_by.quantity]} in one of them: "
                "something else disturbed the comparison"
            )
        found = decision.effect
        return CellDecision(
            cell=cell,
            verdict=verdict,
            quantity=self.decided_by.quantity,
            change=None if found is None else math.expm1(found.mean),
            low=None if found is None else math.expm1(decision.low),
            high=None if found is None else math.expm1(decision.high),
            robust=None if found is None else math.expm1(found.robust),
            blocks=len(self.log_ratios(cell)),
            detectable=None if found is None else math.expm1(found.detectable(self.looks.errors[-1], POWER)),
            more_blocks=decision.more_blocks if verdict is Verdict.INCONCLUSIVE else None,
            reason=reason,
            others=others,
        )


def geometric_mean(decisions: Sequence[CellDecision]) -> float | None:
    """Return the change by the deciding quantity over all cells that have one: the geometric mean of their ratios."""
    changes = [decision.change for decision in decisions if decision.change is not None]
    return math.expm1(math.fsum(math.log1p(change) for change in changes) / len(changes)) if changes else None


def _finite(records: Sequence[WindowRecord], quantity: Quantity) -> list[float]:
    ratios = (quantities.log_ratio(record, quantity) for record in records)
    return [ratio for ratio in ratios if math.isfinite(ratio)]


def _record(block: Block, seconds: float) -> BlockRecord:
    return BlockRecord(
        number=block.number,
        seconds=seconds,
        cells={measured.cell: window_record(measured) for measured in block.measured},
        control=None if block.control is None else window_record(block.control),
        failed=dict(block.failed),
    )


def window_record(measured: Measured) -> WindowRecord:
    """Return the windows as they are stored."""
    ratio = quantities.log_ratio(measured, "wall")
    return WindowRecord(
        steps=measured.steps,
        order=measured.order,
        seconds=list(measured.seconds),
        log_ratio=ratio if math.isfinite(ratio) else None,
        processor_seconds=list(measured.processor_seconds),
        instructions=list(measured.instructions),
    )
