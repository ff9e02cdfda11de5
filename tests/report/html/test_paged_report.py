"""The report of many cells: an index, and pages that show the same cells as one page would."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from example_runs import cell, estimate, identity, reference, stored
from PIL import Image

from genbench.report.html import paged_report
from genbench.report.html.paged_report import write_report
from genbench.results.store import LoadedRun, RunDirectory

SEEDS, WIDTHS = 3, 4


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    cells = [
        cell(
            f"{model}-{width}-{seed}", identity(model, seed=seed, recipe={"batch_size": width}),
            estimates=[estimate("fd-cnn", 100.0 + 10 * width + seed)],
        )
        for model in ("gan", "<b>vae") for width in range(1, WIDTHS + 1) for seed in range(SEEDS)
    ]  # fmt: skip
    cells.append(
        cell("gan-1-9", identity("gan", seed=9, recipe={"batch_size": 1}), status="failed", reason="<i>it broke")
    )
    made = stored(tmp_path / "a run", *cells, references=(reference(),))
    for one in cells[:-1]:
        Image.new("RGB", (30, 20)).save(made.sample_path(one.id))
    made.sample_path("gan-2-0").write_bytes(b"no picture")
    monkeypatch.setattr(paged_report, "MOST_CELLS", 10)
    monkeypatch.setattr(paged_report, "PAGE_CELLS", 7)
    return made


def test_every_cell_is_on_one_page_with_the_other_seeds_of_its_setting(run: RunDirectory) -> None:
    pages = _report(run)
    assert len(pages) == 4 and max(map(len, pages.values())) <= 7
    found = [id for ids in pages.values() for id in ids]
    assert sorted(found) == sorted(planned.id for planned in run.record.cells)
    for ids in pages.values():
        settings = {tuple(id.split("-")[:2]) for id in ids}
        assert len(ids) == sum(SEEDS + (setting == ("gan", "1")) for setting in settings)


def test_the_index_leads_to_each_page_and_sums_up(run: RunDirectory) -> None:
    pages, index = _report(run), (run.path / "report.html").read_text()
    assert re.findall(r'href="(report/[^"]+)"', index) == [f"report/{name}" for name in pages]
    assert "25 cells on 4 pages" in index
    assert "1 × failed: &lt;i&gt;it broke" in index and "<i>" not in index and "<b>" not in index
    assert re.search(r"6 ok</td>.*?>131\.00 ± ", index)  # the best value of a page: the lower one of batches of 3 and 4


def test_pictures_are_links_that_lead_to_their_files(run: RunDirectory) -> None:
    page = unescape((run.path / "report" / next(iter(_report(run)))).read_text())
    assert "img-src data: 'self'" in page and 'src="data:' not in page
    sources = re.findall(r'<img [^>]*width="30" height="20" src="([^"]+)"', page)
    assert (run.path / "report" / unquote(sources[0])).samefile(run.sample_path("gan-1-0"))
    assert "This picture is damaged: it is not a PNG file." in page


def test_few_cells_are_one_page_without_a_folder(run: RunDirectory, tmp_path: Path) -> None:
    write_report(tmp_path / "one.html", [_loaded(run)], {(run.name, "gan-1-0"), (run.name, "gan-1-1")})
    assert 'id="cells"' in (tmp_path / "one.html").read_text() and not (tmp_path / "one").exists()


def test_pages_that_a_larger_report_has_left_are_removed_and_nothing_else(run: RunDirectory) -> None:
    _report(run)
    folder, own = run.path / "report", "<p>my notes</p>"
    (folder / "page-100.html").write_text((folder / "page-001.html").read_text())
    (folder / "page-101.html").write_text(own)
    (folder / "page-of-mine.html").write_text((folder / "page-001.html").read_text())
    write_report(run.path / "report.html", [_loaded(run)])
    others = ["page-101.html", "page-of-mine.html"]
    assert sorted(path.name for path in folder.iterdir()) == [f"page-00{n}.html" for n in range(1, 5)] + others
    one_page = {(run.name, "gan-1-0")}
    write_report(run.path / "report.html", [_loaded(run)], one_page)
    assert sorted(path.name for path in folder.iterdir()) == others
    assert (folder / "page-101.html").read_text() == own
    for name in others:
        (folder / name).unlink()
    _report(run)
    write_report(run.path / "report.html", [_loaded(run)], one_page)
    assert not folder.exists()


def _report(run: RunDirectory) -> dict[str, list[str]]:
    """Write the report; return the ids of the cells on each page."""
    write_report(run.path / "report.html", [_loaded(run)])
    pages = sorted((run.path / "report").iterdir())
    listed = {page.name: re.findall(r"<dt>cell</dt><dd>([^<]+)</dd>", page.read_text()) for page in pages}
    return {name: [*map(unescape, ids)] for name, ids in listed.items()}


def _loaded(run: RunDirectory) -> LoadedRun:
    return LoadedRun(run, run.read())
