"""Figures: every kind in every theme, what they state, and that names are only names."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from example_runs import PROTOCOL, cell, comparability, estimate, identity, plan, reference, stored
from figure_files import evaluated, example_run, texts, two_datasets, written

import genbench
from genbench.cli import invoke
from genbench.commands.load import load
from genbench.commands.results import Results
from genbench.errors import NoDataError, UsageError
from genbench.report.figures import figure as figure_module
from genbench.report.figures.appearance import DASHES, MARKERS, THEMES
from genbench.report.figures.caption import SIGNATURE
from genbench.report.figures.kinds import KINDS, LADDER, TUNING
from genbench.results.schema import CurvePoint
from genbench.results.store import RunDirectory

ROOT = Path(__file__).parents[3]
CERTIFICATE = ROOT / "results" / "reference" / "certificate-fashion-cnn.json"
OF_RUNS = [kind for kind in KINDS if kind not in (LADDER, TUNING)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_run(tmp_path_factory.mktemp("figures") / "run")


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return load(run)


def make(results: Results, kind: str, **options: object) -> genbench.Figure:
    if kind == LADDER:
        return genbench.certificate_figure(CERTIFICATE, **options)  # type: ignore[arg-type]
    if kind == TUNING:
        return genbench.load_tuning(CERTIFICATE.with_name("tuning")).figure(**options)  # type: ignore[arg-type]
    if kind == "ranks":
        path = results.runs[0].path.parent / "datasets"
        results = load(path if path.exists() else two_datasets(path))
    return results.figure(kind, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_saved_with_its_facts_and_gives_equal_bytes(results: Results, kind: str, tmp_path: Path) -> None:
    figure = make(results, kind)
    starts = {"pdf": b"%PDF-", "svg": b"<?xml", "png": b"\x89PNG"}
    for suffix, start in starts.items():
        path = figure.save(tmp_path / f"{kind}.{suffix}")
        assert path.read_bytes().startswith(start)
        assert path.read_bytes() == make(results, kind).to_bytes(suffix)
        assert path.with_suffix(".txt").read_text() == figure.caption
    assert figure.caption.startswith(SIGNATURE)


def test_a_notebook_shows_a_figure(results: Results) -> None:
    figure = results.figure()
    assert figure._repr_png_() == figure.to_bytes("png")
    assert figure._repr_svg_().endswith("</svg>\n")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_width_is_that_of_the_column_in_every_theme(results: Results, kind: str, theme: str) -> None:
    svg = make(results, kind, theme=theme, width="one-column").to_bytes("svg").decode()
    (width,) = re.findall(r'<svg [^>]*width="([\d.]+)pt"', svg)
    assert float(width) == pytest.approx(8.6 / 2.54 * 72, rel=1e-3)
    ground = THEMES[theme].colours.ground
    assert f"fill: {ground}" in svg
    tall = 45 if kind == "history" else 9  # it has a panel for each series
    sized = make(results, kind, theme=theme, width=12, height=tall).to_bytes("svg").decode()
    (height,) = re.findall(r'<svg [^>]*height="([\d.]+)pt"', sized)
    assert float(height) == pytest.approx(tall / 2.54 * 72, rel=1e-3)


def test_axes_state_unit_and_direction_and_legends_every_row(results: Results) -> None:
    drawn = texts(results.figure().to_bytes("svg").decode())
    assert {"images/s (higher is better)", "fd-cnn (lower is better)"} <= {*drawn}
    assert {"gan · batch_size 16", "vae · batch_size 64", "noise 912.3 (off the axis)"} <= {*drawn}
    memory = " ".join(texts(results.figure("scaling", y="peak memory").to_bytes("svg").decode()))
    assert "peak memory (MiB)" in memory


def test_ranks_have_the_critical_difference_and_its_pitfalls(results: Results) -> None:
    figure = make(results, "ranks")
    drawn = texts(figure.to_bytes("svg").decode())
    assert {"dcgan · non-saturating", "average rank (lower is better)"} <= {*drawn}
    assert "half of Nemenyi's critical difference (2.34 ranks at 0.05)" in figure.caption
    assert "Rank of gan · non-saturating: 3.00" in figure.caption
    assert "Benavoli" in figure.caption
    with pytest.raises(NoDataError, match="two methods and two datasets"):
        results.figure("ranks")


def test_the_facts_state_what_a_caption_needs(results: Results) -> None:
    facts = dict(line.split(": ", 1) for line in results.figure().caption.splitlines() if ": " in line)
    assert "torch 2.15" in facts["Shared by all rows"]
    assert facts["Training seeds"] == "0, 1; each row is the mean of up to 2"
    assert facts["Cells"] == "8 ok"
    assert facts["fd-cnn"] == "lower is better"
    assert facts["Protocol of fd-cnn"] == "n = 2,000 images, weights 1f0c, n_reference 8000"
    assert "two standard errors" in facts["Error bars"]
    assert "32.50 ± 0.50" in facts["gan · batch_size 16"]
    alone = results.where(seed=0).figure().caption
    assert "n = 1 for each row: differences may be chance" in alone


def test_another_process_with_other_settings_of_matplotlib_draws_the_same_bytes(run: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 20\ntext.usetex: True\n")
    program = (
        "import genbench, sys\n"
        f"sys.stdout.buffer.write(genbench.load({str(run)!r}).figure().to_bytes('svg'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {"MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    assert done.stdout == load(run).figure().to_bytes("svg")


def test_the_settings_of_the_user_are_as_before(results: Results) -> None:
    import matplotlib

    before = matplotlib.rcParams.copy()
    results.figure().to_bytes("pdf")
    assert matplotlib.rcParams.copy() == before


def test_fonts_are_embedded_in_a_pdf(results: Results) -> None:
    content = results.figure().to_bytes("pdf")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


HOSTILE = {
    "$x_1^2$": "$x_1^2$",
    "$\\frac{": "$\\frac{",
    "_hidden": "_hidden",
    "\\textbf{x} %": "\\textbf{x} %",
    "a\x1b[31mb": "a [31mb",
    "\u202eevil\u200f\ufeff": "evil",
    "</text><script>alert(1)</script>": "</text><script>alert(1)</script>",
    "]]> &lt; \"'": "]]> &lt; \"'",
    "{0} %s": "{0} %s",
    "line\nbreak": "line break",
}


@pytest.mark.parametrize("kind", ["frontier", "curves", "throughput", "history"])
def test_names_are_drawn_as_they_are_without_control_characters(tmp_path: Path, kind: str) -> None:
    cells = [evaluated(f"m{number}-1", asked=identity(name)) for number, name in enumerate(HOSTILE)]
    figure = written(tmp_path / "run", *cells).figure(kind, width=40)
    svg = figure.to_bytes("svg").decode()
    drawn = " ".join(texts(svg))
    assert all(name in drawn for name in HOSTILE.values())
    assert "<script" not in re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    assert not set("\x1b\u202e\u200f\ufeff") & set(svg + figure.caption)
    figure.to_bytes("pdf")
    figure.to_bytes("png")


@pytest.fixture
def ideographs(tmp_path: Path) -> Iterator[None]:
    """Install a font with the name of one with Chinese characters; it has two of them, both squares."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from matplotlib.font_manager import fontManager

    from genbench.report.figures import canvas

    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square, names = pen.glyph(), [".notdef", "u6F22", "u5B57"]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({0x6F22: "u6F22", 0x5B57: "u5B57"})
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Noto Sans CJK SC", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "font.ttf")
    before = list(fontManager.ttflist)
    fontManager.addfont(tmp_path / "font.ttf")
    canvas._families.cache_clear()
    yield
    fontManager.ttflist = before
    canvas._families.cache_clear()


@pytest.mark.usefixtures("ideographs")
def test_an_installed_font_draws_what_the_usual_one_lacks(tmp_path: Path) -> None:
    figure = written(tmp_path / "run", cell("gan-1", identity("漢字")), cell("vae-1", identity("vae"))).figure()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in ("png", "svg", "pdf"):
            figure.save(tmp_path / f"f.{suffix}")
    assert "漢字" in (tmp_path / "f.txt").read_text()
    assert "No installed font" not in (tmp_path / "f.txt").read_text()


def test_characters_that_no_font_has_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "No installed font draws 𐤀:"
    run = tmp_path / "run"
    figure = written(run, cell("gan-1", identity("𐤀")), cell("vae-1", identity("vae"))).figure()
    with pytest.warns(UserWarning, match=said):
        figure.save(tmp_path / "f.svg")
    assert said in (tmp_path / "f.txt").read_text()
    assert invoke(["figure", str(run), "--out", str(tmp_path / "g.svg")]) == 0
    assert capsys.readouterr().err.startswith(said)


def test_a_comment_in_a_name_cannot_end_the_comment(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    svg = written(tmp_path / "run", cell("gan-1", identity("--><script/><!--"))).figure().to_bytes("svg")
    assert not [element for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("script")]


def test_very_long_names_do_not_widen_the_figure(tmp_path: Path) -> None:
    results = written(tmp_path / "run", cell("gan-1", identity("x" * 300)), cell("vae-1", identity("y" * 300)))
    for kind in ("frontier", "throughput", "curves"):
        svg = results.figure(kind, width="one-column").to_bytes("svg").decode()
        assert all(len(text) < 70 for text in texts(svg))


def test_other_protocols_and_machines_are_never_on_one_axis_unmarked(tmp_path: Path) -> None:
    other = {**PROTOCOL, "weights": "ffff"}
    cells = [
        cell("gan-1", comparability=comparability(threads=4)),
        cell("vae-1", identity("vae"), estimates=[estimate("fd-cnn", 9.0, protocol=other)]),
    ]
    results = load(stored(tmp_path / "run", *cells, references=(reference(),)).path)
    figure = results.figure()
    drawn = " ".join(texts(figure.to_bytes("svg").decode()))
    assert drawn.count("Not comparable with other panels") == 2
    assert "weights 1f0c, threads 4" in drawn and "weights ffff, threads 2" in drawn
    assert "noise" not in drawn  # measured under one of the protocols
    assert "Marked †: not comparable: fd-cnn: weights differs" in figure.caption
    assert " ".join(texts(results.figure("throughput").to_bytes("svg").decode())).count("threads 4") >= 2


def test_what_is_not_finite_is_a_gap(tmp_path: Path) -> None:
    points = [
        CurvePoint(step=n, images=32 * n, terms={"none": None, "some": 1e300 if n == 3 else 1.0 * n})
        for n in range(1, 9)
    ]
    cells = [
        cell("gan-1", estimates=[estimate("fd-cnn", math.nan, math.nan)], curves=points),
        cell("vae-1", identity("vae"), estimates=[estimate("fd-cnn", 5.0, math.inf)]),
    ]
    results = written(tmp_path / "run", *cells)
    assert "Rows without both values, not drawn: gan" in results.figure().caption
    svg = results.figure("curves", y=["none", "some"]).to_bytes("svg").decode()
    assert "no finite value was recorded" in texts(svg)


def test_three_hundred_cells_have_a_bounded_legend_and_every_frontier_row_is_named(tmp_path: Path) -> None:
    cells = [
        cell(f"m{n}-1", identity(f"m{n}"), speed=100.0 + n, estimates=[estimate("fd-cnn", 10.0 + (n - 297) ** 2 / 1e3)])
        for n in range(300)
    ]
    results = written(tmp_path / "run", *cells)
    figure = results.figure()
    named = [text for text in texts(figure.to_bytes("svg").decode()) if re.fullmatch(r"m\d+", text)]
    assert len(named) == 24 and {"m297", "m298", "m299"} <= {*named}
    assert "Grey markers: 276 rows without a name in the legend" in figure.caption
    assert "260 more rows" in results.figure("throughput").caption


def test_one_cell_is_drawn_and_no_finished_cell_is_no_data(tmp_path: Path) -> None:
    one = written(tmp_path / "one", cell())
    for kind in ("frontier", "curves", "throughput", "history"):
        one.figure(kind).to_bytes("svg")
    RunDirectory.create(tmp_path / "none", plan(cell()))
    none = load(tmp_path / "none")
    for kind in ("frontier", "curves", "samples", "throughput", "history"):
        with pytest.raises(NoDataError):
            none.figure(kind)


def test_a_missing_or_broken_picture_is_said_in_its_place(run: Path, tmp_path: Path) -> None:
    cells = [cell("gan-1"), cell("vae-1", identity("vae")), cell("dcgan-1", identity("dcgan"))]
    results = written(tmp_path / "run", *cells)
    folder = tmp_path / "run" / "samples"
    (folder / "gan-1.png").write_bytes((run / "samples" / "gan-16-0.png").read_bytes())
    (folder / "vae-1.png").write_text("%!PS not a picture")
    drawn = " ".join(texts(results.figure("samples").to_bytes("svg").decode()))
    assert "no picture" in drawn
    assert "it is not a PNG file" in drawn


def test_a_figure_that_does_not_fit_is_an_error(results: Results) -> None:
    with pytest.raises(UsageError, match="does not fit into this size"):
        results.figure(width="one-column", height=4).to_bytes("png")


def test_history_shows_only_the_chosen_cells(results: Results) -> None:
    figure = results.where(model="vae").figure("history", y="throughput")
    assert "vae" in figure.caption and "gan" not in figure.caption


@pytest.mark.parametrize(
    ("kind", "options", "cause"),
    [
        ("frontir", {}, "Did you mean 'frontier'"),
        (LADDER, {}, "from a certificate"),
        (TUNING, {}, "from a tuning"),
        ("frontier", {"y": "fd-cn"}, "Did you mean 'fd-cnn'"),
        ("frontier", {"x": "image/s"}, "Did you mean 'images/s'"),
        ("frontier", {"y": ["fd-cnn", "fd-cnn"]}, "shows one y"),
        ("curves", {"x": "second"}, "Did you mean 'seconds'"),
        ("curves", {"y": "genrator"}, "Did you mean 'generator'"),
        ("samples", {"y": "sample"}, "Did you mean 'samples'"),
        ("samples", {"x": "images"}, "no choice of x"),
        ("throughput", {"y": "images/s"}, "no choice of y"),
        ("history", {"y": "thruput"}, "Did you mean 'throughput'"),
        ("frontier", {"theme": "drak"}, "Did you mean 'dark'"),
        ("frontier", {"width": "one-colum"}, "Did you mean 'one-column'"),
        ("frontier", {"width": 1}, "1 cm is not possible"),
        ("frontier", {"height": math.nan}, "nan cm is not possible"),
    ],
)
def test_unknown_names_have_their_nearest(results: Results, kind: str, options: dict[str, object], cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        make(results, kind, **options) if kind not in (LADDER, TUNING) else results.figure(kind)


def test_without_matplotlib_the_error_names_the_remedy(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure_module.importlib.util, "find_spec", lambda name: None)
    figure = results.figure()
    with pytest.raises(UsageError, match="matplotlib, which draws figures, is not installed") as caught:
        figure.save(tmp_path / "f.pdf")
    assert "pip install 'genbench[figures]'" in caught.value.cure
    assert not [*tmp_path.iterdir()]
    assert figure.caption  # needs nothing


def test_only_the_canvas_imports_matplotlib() -> None:
    files = [
        path for path in (ROOT / "genbench").rglob("*.py") if re.search(r"(import|from) matplotlib", path.read_text())
    ]
    assert [path.name for path in files] == ["canvas.py"]
    assert "pyplot" not in re.sub(r'""".*?"""', "", files[0].read_text(), flags=re.DOTALL)


def test_neighbouring_series_differ_in_colour_marker_and_dashes() -> None:
    for theme in THEMES.values():
        assert len({*theme.colours.series}) == len(theme.colours.series)
        assert math.gcd(len(theme.colours.series), len(MARKERS)) == 1
    assert len({*MARKERS}) == len(MARKERS) and len({*DASHES}) == len(DASHES)


def test_a_text_file_of_the_user_is_never_replaced(results: Results, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not from genbench"):
        results.figure().save(tmp_path / "notes.pdf")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    results.figure().save(tmp_path / "again.svg")
    results.figure("curves").save(tmp_path / "again.svg")  # replaces both
    assert "during training" in (tmp_path / "again.txt").read_text()
