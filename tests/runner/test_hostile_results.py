"""What a plugin returns that cannot be stored costs only itself: the cell that it belongs to is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import warm
from command_line import TINY, Done, run

PLUGIN = Path(__file__).parents[1] / "support" / "hostile_results.py"
METRICS = ("raising", "text-in-protocol", "nan-in-protocol", "infinity-in-protocol", "huge-in-protocol", "huge-value")
ARGUMENTS = (
    *TINY[:6],
    *("--metrics", ",".join((*METRICS, "text-in-reason", "diversity")), "--device", "cpu", "--threads", "1"),
    *("--plugin", str(PLUGIN), "--models", "vae", "--losses", "hostile", "--datasets", "hostile-data"),
    *("--set", "vae.hidden=16"),
)


def require_kept(done: Done) -> None:
    assert done.code == 5, done.err  # because of the metrics
    assert "Traceback" not in done.err
    (cell,) = done.run_cells
    assert cell.status == "ok", cell.reason
    assert [one.metric for one in cell.estimates] == ["text-in-protocol", "diversity"]
    assert {one.metric for one in cell.unavailable} == {*METRICS, "text-in-reason"} - {"text-in-protocol"}
    assert any("was skipped" in note for note in cell.notes)
    assert any("name-" in term for term in cell.curves[-1].terms)


@pytest.mark.slow
def test_a_worker_keeps_the_cell(tmp_path: Path) -> None:
    require_kept(run(*ARGUMENTS, out=tmp_path / "run"))


def test_a_run_in_one_process_keeps_the_cell(tmp_path: Path) -> None:
    require_kept(warm.run(*ARGUMENTS, out=tmp_path / "run"))
