"""The pilot of a comparison: base against itself, to choose the quantity that the comparison decides by.

Where other programs take the processors, threads of a step wait for one that does not run, and use processor time while
they wait: far more than the step itself, and by chance. By processor time and by instructions, steps are therefore
measured with one thread, unless the user has chosen a number.
"""

from __future__ import annotations

from genbench.ab.comparison import window_record
from genbench.ab.session import Session, Sides
from genbench.errors import UsageError
from genbench.gate.quantity import LARGEST_SPREAD, NAMES, DecideBy, choose, in_words, spreads
from genbench.results.comparison import Pilot, Quantity, QuantityChoice


def plan_quantity(asked: DecideBy, session: Session, sides: Sides, fixed_threads: bool) -> QuantityChoice:
    """Return the quantity to decide by, and let the session expect load if it is not wall time.

    For `auto`, one block of base against itself shows whether wall time tells anything. If not, the machine is busy,
    and another block, measured as on a busy machine, chooses among all quantities. Head is not measured.

    Args:
        asked: what the user wants.
        session: that will measure the comparison.
        sides: what both versions can measure.
        fixed_threads: whether the user has chosen the number of threads.

    Raises `UsageError` if the quantity that is asked for cannot be measured in both versions.
    """
    if asked != "auto" and asked in sides.unmeasured:
        raise UsageError(
            f"A comparison cannot be decided by {NAMES[asked]} here: {sides.unmeasured[asked]}.",
            "Use --decide-by auto, which chooses among the quantities that can be measured.",
        )
    threads = session.prepare.threads
    quantity: Quantity = "wall" if asked == "auto" else asked
    reason = "as asked" if asked != "auto" else "the only quantity that both versions measure here"
    busy = quantity != "wall"
    pilots: list[Pilot] = []
    if asked == "auto" and len(sides.unmeasured) < len(NAMES) - 1 and sides.cells:
        pilots.append(_pilot(session, sides))
        busy = pilots[0].spreads.get("wall", 0.0) > LARGEST_SPREAD
    if busy:
        session.expect_load(threads if fixed_threads else 1)
    if pilots:
        if busy:
            pilots.append(_pilot(session, sides))
        quantity = choose(pilots[-1].spreads)
        reason = f"neighbouring windows of base against itself differ by {in_words(pilots[-1].spreads)}"
    if session.prepare.threads < threads:
        reason = f"{reason}; with one thread, because threads that wait for each other use processor time too"
    return QuantityChoice(
        asked=asked,
        quantity=quantity,
        reason=reason,
        threads=session.prepare.threads,
        pilots=pilots,
        unmeasured=dict(sides.unmeasured),
    )


def _pilot(session: Session, sides: Sides) -> Pilot:
    block = session.against_itself().block(0, sides.cells)
    cells = {measured.cell: window_record(measured) for measured in block.measured}
    found = {name: value for name, value in spreads(cells.values()).items() if name not in sides.unmeasured}
    return Pilot(threads=session.prepare.threads, cells=cells, spreads=found)
