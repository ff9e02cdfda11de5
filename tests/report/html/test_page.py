"""report.html is one file that shows everything, reaches for nothing, and believes nobody."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

from example_runs import cell, changed, choice, comparability, estimate, identity, plan, reference, stored
from hypothesis import example, given
from hypothesis import strategies as st

from genbench.api.evaluation import Unavailable
from genbench.report.html.figures import curves, window_strip
from genbench.report.html.page import page
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import CurvePoint, Energy, PlannedCell, Window
from genbench.results.store import RunDirectory

PNG = b"\x89PNG\r\n\x1a\n and so on"
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "img", "br"}


class Outline(HTMLParser):
    """The elements of a page; fails where one is not closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(run: RunDirectory, pictures: dict[str, tuple[bytes | None, ...]] | None = None) -> str:
    contents = run.read()
    return page(contents, {"": make_table(contents)}, pictures or {})


def test_the_page_is_well_formed_and_needs_no_network(tmp_path: Path) -> None:
    never = PlannedCell(id="never-1", identity=identity("never"))
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"), never, references=(reference(),))
    outline = Outline(page_of(run, {"gan-1": (PNG, None), "vae-1": (PNG, PNG)}))
    assert outline.names.count("img") == 3
    assert outline.names.count("svg") == 4
    assert outline.names.count("article") == 3
    assert "script" not in outline.names
    assert all(link.startswith("data:image/png;base64,") for link in outline.links)
    assert not re.search(r"@import|url\(|<link", page_of(run))


def test_each_picture_of_a_cell_is_shown_under_what_it_is(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    for pictures, said in (((PNG,), 0), ((PNG, PNG), 0), ((PNG, None, PNG), 1), ((PNG, PNG, PNG), 1)):
        text = page_of(run, {"gan-1": pictures})
        assert Outline(text).names.count("img") == sum(png is not None for png in pictures)
        assert text.count("<figcaption>the samples closest to training images, above those images</figcaption>") == said


def test_everything_from_results_is_escaped(tmp_path: Path) -> None:
    evil = "</pre><script>alert(1)</script>"
    asked = changed(identity(), model=choice(evil, option=evil), loss=choice(evil))
    bad = cell(
        "x-1",
        asked,
        status="failed",
        reason=evil,
        notes=[evil],
        parameters={evil: 1},
        comparability=comparability(machine=evil),
        curves=[CurvePoint(step=n, images=n, terms={evil: float(n)}) for n in (1, 2)],
    )
    run = RunDirectory.create(tmp_path / "run", plan(bad, command=[evil], environment={evil: {evil: [evil]}}))
    run.write_cell(bad)
    text = page_of(run, {"x-1": (evil.encode(), None)})
    assert "<script" not in text
    assert "This image is damaged." in text
    Outline(text)


def test_a_failed_cell_keeps_its_reason_and_its_lines(tmp_path: Path) -> None:
    bad = cell(
        "x-1", status="failed", reason="Traceback:\n  line 1\nValueError: no", windows=[], curves=[], throughput=None
    )
    assert "<pre>Traceback:\n  line 1\nValueError: no</pre>" in page_of(stored(tmp_path / "run", bad))


def test_a_cell_shows_each_metric_with_its_error_null_and_protocol(tmp_path: Path) -> None:
    found = [estimate("fd-cnn", 34.5678, 0.6543, debiased=34.1, null=0.7)]
    text = page_of(
        stored(tmp_path / "run", cell("x-1", estimates=found, unavailable=[Unavailable("fid", "no <file>")]))
    )
    assert "<dd>34.57 ± 0.65 (n = 2,000, debiased 34.10, null 0.7000, weights 1f0c, n_reference 8000)</dd>" in text
    assert "<dd>n/a: no &lt;file&gt;</dd>" in text


def test_the_images_of_the_energy_pass_are_not_those_of_the_recipe(tmp_path: Path) -> None:
    text = page_of(stored(tmp_path / "run", cell("x-1", energy=Energy(images=7, reason="not asked for"))))
    assert "<dt>images</dt><dd>60,000</dd>" in text
    assert "<dt>energy: images</dt><dd>7</dd>" in text


def lines_of(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [line.get("points", "") for line in root.iter(f"{SVG}polyline")]


def test_a_null_is_a_gap_in_the_curve() -> None:
    values = [1.0, 2.0, None, 4.0, 5.0, 6.0]
    points = [CurvePoint(step=n, images=32 * n, terms={"loss": value}) for n, value in enumerate(values)]
    assert [len(line.split()) for line in lines_of(curves(points))] == [2, 3]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=20))
@example([5e-324])
@example([0.0, 5e-324])
@example([1e-300, 3e-300])
def test_any_curve_stays_inside_its_frame(values: list[float | None]) -> None:
    points = [CurvePoint(step=n, images=32 * n, terms={"loss": value}) for n, value in enumerate(values)]
    svg = curves(points)
    for line in lines_of(svg) if svg else []:
        for x, y in (map(float, place.split(",")) for place in line.split()):
            assert 0 <= x <= 560
            assert 0 <= y <= 240


def test_bars_are_as_high_as_the_windows_were_fast() -> None:
    windows = [Window(step=n, steps=1, images=32, seconds=seconds) for n, seconds in enumerate((1.0, 2.0, 4.0))]
    bars = ElementTree.fromstring(window_strip(windows)).iter(f"{SVG}rect")
    heights = [float(bar.get("height", "0")) for bar in bars]
    assert [round(height / heights[0], 2) for height in heights] == [1.0, 0.5, 0.25]


def test_nothing_measured_is_no_figure() -> None:
    assert curves([]) == ""
    assert curves([CurvePoint(step=1, images=1, terms={"loss": None})]) == ""
    assert window_strip([]) == ""
    assert window_strip([Window(step=1, steps=1, images=1, seconds=0.0)]) == ""
