"""A run that another process writes meanwhile is read as it is at some moment: whole cells, and no traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_runs import cell, identity, reference, stored

import genbench
from genbench.cli import invoke
from genbench.report.html import paged_report
from genbench.results import store
from genbench.results.schema import PlannedCell

CELLS = 12
READS = 10
SUPPORT = Path(__file__).parents[1] / "support"

# Each version of a cell has a number, and everything that it measures states it. One cell after another appears or is
# replaced, as `genbench measure --again` does; the last one never has a result.
WRITER = """
import itertools, sys
sys.path.insert(0, sys.argv[2])
from example_runs import cell, estimate, identity
from genbench.api.evaluation import Estimate
from genbench.report.summary import write_summary
from genbench.results.schema import Memory
from genbench.results.store import RunDirectory

run = RunDirectory.open(sys.argv[1])
for version in itertools.count(1):
    for number in range(min(version, len(run.record.cells) - 1)):
        run.write_cell(cell(f"gan-{number}", identity("gan", seed=number), speed=1000.0 + version,
                            estimates=[estimate("fd-cnn", 1000.0 + version)],
                            memory=Memory(peak_rss=(1000 + version) * 2**20)))
        run.sample_path(f"gan-{number}").write_bytes(b"half a picture"[: version % 14])
    if version % 20 == 0:
        write_summary(RunDirectory(run.path))
"""


@pytest.fixture(params=["few cells", "many cells"])
def growing(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run that another process writes; of many cells, long lists are read later, and the report has pages."""
    if request.param == "many cells":
        monkeypatch.setattr(store, "KEPT_WHOLE", 3)
        monkeypatch.setattr(paged_report, "MOST_CELLS", 3)
        monkeypatch.setattr(paged_report, "PAGE_CELLS", 5)
    planned = [PlannedCell(id=f"gan-{n}", identity=identity("gan", seed=n)) for n in range(CELLS)]
    run = stored(tmp_path / "run", cell("gan-0", planned[0].identity), *planned[1:], references=(reference(),))
    command = [sys.executable, "-c", WRITER, str(run.path), str(SUPPORT)]
    with (tmp_path / "writer").open("w") as said, subprocess.Popen(command, stderr=said) as writer:
        try:
            yield run.path
            assert writer.poll() is None, (tmp_path / "writer").read_text()
        finally:
            writer.kill()


def test_readers_see_whole_cells_of_some_moment(
    growing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versions, reads = set(), 0
    deadline = time.monotonic() + 300
    while reads < READS or len(versions) <= READS:  # until it was seen to change
        assert time.monotonic() < deadline
        reads += 1
        results = genbench.load(growing)
        assert results.damaged == {}
        rows = results.table(over_seeds=False, references=False).records
        assert len(rows) == CELLS == len(results)
        assert rows[-1]["status"] == "not run" and rows[-1]["fd-cnn"] is None
        for row in rows:
            assert row["status"] in ("ok", "not run")
            if row["status"] == "ok" and row["fd-cnn"] != 34.5678:  # that of the first version
                assert row["fd-cnn"] == row["images/s"] == row["peak memory (MiB)"]
                versions.add(row["fd-cnn"])
        assert all(len(one.windows) == 20 for one in results if one.status == "ok")
        page = results.report(tmp_path / "page.html").read_text()
        assert "gan" in page and "Traceback" not in page
    for command in ("table", "show", "report"):
        assert invoke([command, str(growing)]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert not re.search("damaged|Traceback", said.out + said.err)
    assert invoke(["show", str(growing), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
