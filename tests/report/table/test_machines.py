"""Cells that several machines executed: each machine's rows stand together, and what does not compare is marked."""

from __future__ import annotations

from pathlib import Path

from example_runs import cell, comparability, estimate, identity, stored

from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import DAGGER
from genbench.results.schema import PlannedCell
from genbench.results.store import RunContents

SMALL, LARGE = comparability(), comparability(machine="Intel Xeon", cores=64.0)


def run_of(path: Path, machines: list[object]) -> RunContents:
    """Return a run whose cells were executed by these machines, one after the other; None: not executed."""
    given = [
        PlannedCell(id=f"gan-{n}", identity=identity(seed=n))
        if machine is None
        else cell(f"gan-{n}", identity(seed=n), comparability=machine, estimates=[estimate("fd-cnn", 30.0 + n, 0.5)])
        for n, machine in enumerate(machines)
    ]
    return stored(path, *given).read()


def test_rows_of_a_machine_stand_together_and_only_its_timings_are_marked(tmp_path: Path) -> None:
    table = make_table(run_of(tmp_path / "run", [SMALL, None, LARGE, SMALL, LARGE]))
    rows = [row for row in table.rows if row.kind == "cell"]
    assert [row.id for row in rows] == ["gan-0", "gan-3", "gan-2", "gan-4", "gan-1"]
    executed = rows[:4]
    assert [row.values["machine"].text for row in executed] == ["AMD EPYC", "AMD EPYC", "Intel Xeon", "Intel Xeon"]
    for column in ("images/s", "training time", "peak memory"):
        assert all(DAGGER in row.values[column].marks for row in executed), column
    assert not any(DAGGER in row.values["fd-cnn"].marks for row in executed)
    (why,) = [text for mark, text in table.footnotes if mark == DAGGER]
    assert "machine differs (AMD EPYC, Intel Xeon)" in why


def test_over_seeds_a_row_has_one_machine(tmp_path: Path) -> None:
    table = make_table(run_of(tmp_path / "run", [SMALL, LARGE, SMALL, LARGE]), over_seeds=True)
    assert [row.values["machine"].text for row in table.rows] == ["AMD EPYC", "Intel Xeon"]
    assert [row.values["seeds"].raw for row in table.rows] == [2, 2]


def test_on_one_machine_rows_have_the_order_of_the_plan_and_no_mark(tmp_path: Path) -> None:
    table = make_table(run_of(tmp_path / "run", [SMALL, None, SMALL]))
    assert [row.id for row in table.rows if row.kind == "cell"] == ["gan-0", "gan-1", "gan-2"]
    assert table.footnotes == () or all(mark != DAGGER for mark, _ in table.footnotes)
