"""What commands take for a run of 600 cells, as the benchmark measures it, with room for slow and busy machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

CELLS = 600
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measure() -> Iterator[ModuleType]:
    """The benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import large_plans

        yield large_plans
        for name in ("large_plans", "large_run"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, measure: ModuleType) -> Path:
    path = tmp_path_factory.mktemp("large") / "run"
    measure.write_run(path, CELLS, unfinished=2)
    return path


def test_a_table_takes_seconds_and_is_short(run: Path, measure: ModuleType) -> None:
    found = measure.command("table", run)
    assert found["processor_seconds"] < 4 and found["mebibytes"] < 200
    assert 1000 < found["characters"] < 100_000


def test_show_counts(run: Path, measure: ModuleType) -> None:
    found = measure.command("show", run)
    assert found["processor_seconds"] < 4 and found["mebibytes"] < 200
    assert 300 < found["characters"] < 10_000


def test_a_report_has_pages_that_a_browser_opens(run: Path, measure: ModuleType) -> None:
    found = measure.command("report", run)
    assert found["processor_seconds"] < 20 and found["mebibytes"] < 300
    pages = [run / "report.html", *(run / "report").iterdir()]
    assert len(pages) == measure.report_files(run)["files"] > CELLS / 100
    assert max(page.stat().st_size for page in pages) < 4e6
    assert sum(page.read_text().count("<dt>cell</dt>") for page in pages) == CELLS
    assert (run / "table.md").stat().st_size < 500_000


def test_a_run_is_resumed_in_seconds(run: Path, measure: ModuleType) -> None:
    found = measure.resume(run)
    assert found["processor_seconds"] < 4 and found["mebibytes"] < 300
