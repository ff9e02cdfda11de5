"""`genbench report`: rewrite reports from stored results alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from example_runs import cell, stored

from genbench.cli.report import command
from genbench.errors import UsageError


def report(*arguments: object) -> str:
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(command, given, standalone_mode=False, catch_exceptions=False).output


def test_it_writes_the_files_and_changes_no_result(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    before = run.cell_path("gan-1").read_bytes()
    written = [Path(line) for line in report(run.path).splitlines()]
    assert [path.name for path in written] == ["table.md", "table.csv", "contact-sheet.png", "report.html"]
    assert all(path.is_file() for path in written)
    assert run.cell_path("gan-1").read_bytes() == before


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    (run.path / "table.md").mkdir()
    with pytest.raises(UsageError, match=r"table\.md was not written"):
        report(run.path)
    assert (run.path / "report.html").is_file()


def test_several_runs_share_a_page_of_their_own(tmp_path: Path) -> None:
    runs = [stored(tmp_path / name, cell("gan-1")).path for name in ("a", "b")]
    page = tmp_path / "comparison.html"
    assert report(*runs, "--out", page) == f"{page}\n"
    assert "a · gan" in page.read_text() and "b · gan" in page.read_text()
    assert not (runs[0] / "report.html").exists()
    with pytest.raises(UsageError, match="2 runs share no report"):
        report(*runs)
    for bad in (tmp_path / "missing" / "page.html", tmp_path):
        with pytest.raises(UsageError, match="cannot be written"):
            report(*runs, "--out", bad)
