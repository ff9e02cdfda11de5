"""Results of large runs, whose long lists are read from the file of the cell when they are used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from example_runs import cell, changed, identity, stored

from genbench.errors import UsageError
from genbench.results import store
from genbench.results.files import encode, plain_data
from genbench.results.schema import CellResult
from genbench.results.store import RunDirectory
from genbench.results.stored_series import StoredSeries

CELLS = [cell(f"gan-{seed}", identity(seed=seed), speed=1000 + seed) for seed in range(3)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    made = stored(tmp_path / "run", *CELLS)
    monkeypatch.setattr(store, "KEPT_WHOLE", 0)
    return RunDirectory.open(made.path)


def test_a_large_run_has_the_results_of_a_small_one(run: RunDirectory) -> None:
    found = run.read_cells().results
    assert isinstance(found["gan-1"].curves, StoredSeries)
    for made in CELLS:
        result = found[made.id]
        assert [*result.windows] == made.windows and result.curves == made.curves
        assert result.curves[2:4] == made.curves[2:4] and len(result.windows) == len(made.windows)
        assert plain_data(result) == msgspec.to_builtins(made)
        assert msgspec.json.decode(encode(result), type=CellResult) == made


def test_a_result_that_was_read_can_be_written_again_with_a_change(run: RunDirectory) -> None:
    run.write_cell(changed(run.read_cells().results["gan-1"], notes=["a remark"]))
    again = run.read_cells().results["gan-1"]
    assert again.notes == ["a remark"] and again.curves == CELLS[1].curves


def test_a_list_is_that_of_the_file_as_it_is_now(run: RunDirectory) -> None:
    result = run.read_cells().results["gan-1"]
    run.write_cell(changed(CELLS[1], windows=CELLS[1].windows[:12]))
    assert len(result.windows) == 12


def test_a_file_that_has_gone_meanwhile_is_named(run: RunDirectory) -> None:
    result = run.read_cells().results["gan-1"]
    run.cell_path("gan-1").unlink()
    with pytest.raises(UsageError, match=r"gan-1\.json has changed while it was being read: No such file"):
        len(result.windows)


def test_damage_inside_a_long_list_is_found_when_the_run_is_read(run: RunDirectory) -> None:
    path = run.cell_path("gan-1")
    path.write_bytes(path.read_bytes().replace(b'"seconds": 0.26', b'"seconds": -0.26', 1))
    assert run.read_cells().damaged == {"gan-1": "Expected `float` >= 0.0 - at `$.windows[0].seconds`"}
    assert run.read_statuses().keys() == {"gan-0", "gan-2"}


def test_a_status_is_read_again_only_if_the_file_has_changed(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.read_statuses() == {"gan-0": "ok", "gan-1": "ok", "gan-2": "ok"}
    run.write_cell(changed(CELLS[1], status="failed"))
    read: list[str] = []
    whole = store.read_regular_file
    monkeypatch.setattr(store, "read_regular_file", lambda path: (read.append(path.stem), whole(path))[1])
    assert run.read_statuses() == {"gan-0": "ok", "gan-1": "failed", "gan-2": "ok"}
    assert read == ["gan-1"]


def test_equal_parts_of_cells_are_one_object(run: RunDirectory) -> None:
    first, second, _ = run.record.cells
    assert first.identity.recipe is second.identity.recipe
    assert run.read_cells().results["gan-0"].identity is first.identity
