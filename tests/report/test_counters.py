"""Counters, the roofline and interference: in the page, in `show`, and in hidden columns of the table."""

from __future__ import annotations

from pathlib import Path

from example_runs import cell, comparability, identity, stored

from genbench.report.counters import counted_lines
from genbench.report.html.page import report_page
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import DAGGER
from genbench.report.table.render import render
from genbench.results.schema import Counters, GpuState, Roofline, Surroundings
from genbench.results.store import LoadedRun

COUNTERS = Counters(
    operations=61.25,
    host_reads=2.0,
    waits={"`.item()` at mine.py:41": 2.0},
    convolutions=24.0,
    channels_last=20.0,
    layout_copies=3.0,
    peak_bytes=3 * 2**19,
    kernel_launches=412.0,
)
ROOFLINE = Roofline(peak=2e12, product="1024×1024 float32, 2 threads", mfu=0.125, launch_bound=0.4)
HOT = GpuState(sm_clock=900, highest_sm_clock=1980, temperature=88, power=300.4, throttled=["heat, by hardware"])
SEEN = Surroundings(own=0.5, others=0.25, stolen=0.0, gpu_before=GpuState(), gpu_after=HOT)
COUNTED = cell("gan-1", counters=COUNTERS, roofline=ROOFLINE, surroundings=SEEN)


def test_a_cell_lists_them_as_text() -> None:
    assert counted_lines(COUNTED) == [
        "one step (eager): 61.25 operator calls, 2 host reads, 24 convolutions, 20 of them in channels_last, "
        "3 copies to another memory format, 1.50 MiB peak memory, 412 kernel launches",
        "  host reads: 2 × `.item()` at mine.py:41",
        "matrix product: 2.00 T floating-point operations/s (1024×1024 float32, 2 threads); training reached 12.5% "
        "of it; launches take 40% of an eager step",
        "processors during training: 50% this cell, 25% others, 0% stolen",
        "GPU before training: not reported",
        "GPU after training: SM 900 of 1980 MHz, 88 °C, 300 W, clocks reduced: heat, by hardware",
    ]
    assert counted_lines(cell("gan-1")) == []


def test_the_page_holds_every_field(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", COUNTED)
    text = report_page([LoadedRun(run, run.read())])
    for said in ("61.25 operator calls", "training reached 12.5% of it", "mine.py:41", "heat, by hardware"):
        assert said in text, said


def test_the_table_exports_them_and_shows_them_on_request(tmp_path: Path) -> None:
    table = make_table(stored(tmp_path / "run", COUNTED, cell("vae-1")).read())
    names = ("operations/step", "host reads/step", "launches/step", "step memory", "MFU")
    assert not [column for column in table.columns if column.key in names and column.shown]
    row = table.rows[0].values
    assert [row[name].raw for name in names] == [61.25, 2.0, 412.0, 1.5, 12.5]
    assert "MFU (%)" in render(table, "csv")
    assert names[0] not in table.rows[1].values


def test_a_disturbed_gpu_is_not_compared_with_one_left_alone(tmp_path: Path) -> None:
    asked = [identity("gan", device="cuda"), identity("vae", device="cuda")]
    alone = cell("gan-1", asked[0])
    hot = cell("vae-1", asked[1], comparability=comparability(disturbed="throttled"))
    table = make_table(stored(tmp_path / "run", alone, hot).read())
    assert [DAGGER in row.values["images/s"].marks for row in table.rows] == [True, True]
    assert any("disturbed differs (none, throttled)" in text for _, text in table.footnotes)
