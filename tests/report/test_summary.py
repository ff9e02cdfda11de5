"""The files for readers are written each on its own: one that fails costs only itself."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, identity, reference, stored
from PIL import Image

from genbench.report.summary import write_summary
from genbench.results.store import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"), references=(reference(),))
    Image.new("L", (58, 58), 90).save(made.sample_path("gan-1"))
    return made


def test_all_files_are_written_and_rewritten(run: RunDirectory) -> None:
    for _ in range(2):
        summary = write_summary(run)
        assert summary.warnings == []
        assert [str(path.relative_to(run.path)) for path in summary.written] == [
            "table.md",
            "table.csv",
            "samples/contact-sheet.png",
            "report.html",
        ]
    assert "| gan" in (run.path / "table.md").read_text()
    assert (run.path / "table.csv").read_text().startswith("kind,run,model")
    assert Image.open(run.contact_sheet_path).width > 1000
    assert "data:image/png;base64," in (run.path / "report.html").read_text()


def test_several_seeds_are_shown_over_seeds_first_and_each_below(tmp_path: Path) -> None:
    cells = [cell(f"gan-{seed}", identity(seed=seed), speed=1000.0 + seed) for seed in (0, 1)]
    run = stored(tmp_path / "run", *cells)
    summary = write_summary(run)
    assert [column.key for column in summary.table.columns if column.shown][:3] == ["model", "seeds", "status"]
    over_seeds, each = (run.path / "table.md").read_text().split("\n## Each seed\n")
    assert "2 ok" in over_seeds
    assert "± is the standard error over training seeds" in over_seeds
    assert each.count("| ok ") == 2
    assert "metric errors cover sampling noise only" in each
    assert "<h3>Each cell</h3>" in (run.path / "report.html").read_text()
    with (run.path / "table.csv").open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["0", "1"]


def test_one_file_that_fails_is_a_warning_and_costs_only_itself(run: RunDirectory) -> None:
    (run.path / "table.csv").mkdir()
    summary = write_summary(run)
    assert [path.name for path in summary.written] == ["table.md", "contact-sheet.png", "report.html"]
    assert len(summary.warnings) == 1
    assert "table.csv was not written" in summary.warnings[0]
    assert "genbench report" in summary.warnings[0]


def test_a_full_disk_costs_no_result(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    summary = write_summary(run)
    assert summary.written == []
    assert len(summary.warnings) == 4
    assert all("No space left on device" in warning for warning in summary.warnings)
    assert len(summary.table.rows) == 4
    assert sorted(run.read_cells().results) == ["gan-1", "vae-1"]
    assert list(run.path.rglob(".*")) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell")
def test_reporting_needs_neither_torch_nor_numpy_nor_much_memory(run: RunDirectory) -> None:
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from genbench.report.summary import write_summary\n"
        "from genbench.report.progress import choose_display\n"
        "from genbench.results.store import RunDirectory\n"
        f"write_summary(RunDirectory.open({str(run.path)!r}))\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        # not ru_maxrss: a new program inherits that from the process that started it
        "peak = int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "print(sorted(heavy), peak < 150_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"


def test_tables_that_lose_results_say_so(run: RunDirectory) -> None:
    assert write_summary(run).warnings == []
    run.cell_path("gan-1").unlink()
    (warning,) = write_summary(run).warnings
    assert "the new ones are without them: gan-1. Restore" in warning
    assert write_summary(run).warnings == []  # the tables of the previous call had no such result


def test_a_pipe_in_place_of_an_image_does_not_block(run: RunDirectory) -> None:
    run.sample_path("gan-1").unlink()
    os.mkfifo(run.sample_path("gan-1"))
    os.mkfifo(run.sample_path("vae-1"))
    assert write_summary(run).warnings == []
