"""report.html is one file that shows everything, reaches for nothing, and believes nobody."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, choice, comparability, estimate, identity, plan, reference, stored
from PIL import Image

from genbench.api.evaluation import Unavailable
from genbench.report.html.page import report_page
from genbench.results.schema import (
    CurvePoint,
    Energy,
    EvaluationPoint,
    PlannedCell,
    ReferenceRow,
    Target,
    Window,
)
from genbench.results.store import LoadedRun, RunDirectory

VOID = {"meta", "img", "br"}
REFERENCE = Path(__file__).parents[3] / "results" / "reference"


class Outline(HTMLParser):
    """The elements of a page; fails where one is not closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(*runs: RunDirectory) -> str:
    return report_page([LoadedRun(run, run.read()) for run in runs])


def data_of(page: str) -> Any:
    """Return what the scripts of a page read."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def picture(path: Path, size: int = 74) -> None:
    Image.new("RGB", (size, size), (90, 20, 40)).save(path)


def test_the_page_is_well_formed_and_needs_no_network(tmp_path: Path) -> None:
    never = PlannedCell(id="never-1", identity=identity("never"))
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"), never, references=(reference(),))
    for path in (run.sample_path("gan-1"), run.sample_path("vae-1"), run.reconstruction_path("vae-1")):
        picture(path)
    outline = Outline(page_of(run))
    assert outline.names.count("img") == 3
    assert outline.names.count("article") == 3
    assert len({*outline.ids}) == len(outline.ids)
    inside = [link for link in outline.links if link.startswith("#")]
    assert {link.removeprefix("#") for link in inside} <= {*outline.ids}
    assert all(link.startswith("data:image/png;base64,") for link in outline.links if link not in inside)
    assert not re.search(r"@import|url\(|<link|fetch\(|XMLHttpRequest|WebSocket|import\(", page_of(run))


def test_the_policy_permits_only_the_script_and_the_style_of_the_page(tmp_path: Path) -> None:
    text = page_of(stored(tmp_path / "run", cell("gan-1")))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy and "unsafe" not in policy[1] and "default-src &#39;none&#39;" in policy[1]
    for tag in ("script", "style"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in policy[1]


def test_each_picture_of_a_cell_is_shown_under_what_it_is(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    said = {
        run.sample_path("gan-1"): "samples",
        run.reconstruction_path("gan-1"): "held-out images, each row above its reconstructions",
        run.closest_path("gan-1"): "the samples closest to training images, above those images",
        run.interpolation_path("gan-1"): "images interpolated between pairs of latents, one pair in each row",
    }
    for number, (path, what) in enumerate(said.items()):
        caption = f"<figcaption>{what}</figcaption>"
        assert caption not in page_of(run)
        picture(path)
        assert caption in page_of(run)
        assert Outline(page_of(run)).names.count("img") == number + 1


def test_a_damaged_picture_says_so(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    for content, said in (
        (b"</pre><script>", "not a PNG or WebP file"),
        (b"\x89PNG\r\n\x1a\n and", "is damaged"),
    ):
        run.sample_path("gan-1").write_bytes(content)
        assert said in page_of(run)
        assert "img" not in Outline(page_of(run)).names


def test_large_pictures_are_compressed_until_they_fit(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    noise = Image.effect_noise((900, 900), 90).convert("RGB")
    noise.save(run.sample_path("gan-1"))
    (url,) = [link for link in Outline(page_of(run)).links if link.startswith("data:")]
    assert url.startswith("data:image/webp;base64,")
    content = base64.b64decode(url.partition(",")[2])
    assert len(content) <= 150_000
    Image.open(io.BytesIO(content)).load()


def test_the_data_hold_what_the_charts_show(tmp_path: Path) -> None:
    points = [EvaluationPoint(step=n, images=32 * n, estimates=[estimate("fd-cnn", 100.0 / n)]) for n in (10, 200)]
    run = RunDirectory.create(
        tmp_path / "run", plan(cell("gan-1"), targets=[Target(metric="fd-cnn", value=50.0, direction="lower")])
    )
    run.write_cell(cell("gan-1", evaluations=points, steps=200, images=6400))
    data = data_of(page_of(run))
    (table,) = data["tables"]
    assert [axis["key"] for axis in table["qualities"]] == ["fd-cnn"]
    assert table["frontiers"]["fd-cnn"]["images/s"] == [{"dataset": "mini", "rows": [0], "frontier": [0]}]
    (shown,) = data["cells"]
    metrics, windows = shown["curves"]
    assert metrics["quantities"][0] | {"errors": None} == {
        "name": "fd-cnn", "kind": "metrics", "values": [10.0, 0.5], "errors": None,
    }  # fmt: skip
    assert [one["name"] for one in windows["quantities"]] == ["discriminator", "generator", "images/s"]
    assert windows["quantities"][1]["values"][8] is None
    assert shown["reached"][0]["images"] == 320
    assert shown["short"] == "gan"


def test_seeds_are_pooled_and_keep_their_rows(tmp_path: Path) -> None:
    cells = [cell(f"gan-{seed}", identity(seed=seed), speed=1000.0 + seed) for seed in (0, 1)]
    text = page_of(stored(tmp_path / "run", *cells))
    data = data_of(text)
    assert [table["title"] for table in data["tables"]] == ["means over seeds", "each cell"]
    assert [one["name"] for one in data["pools"]] == ["gan"]
    assert data["tables"][0]["rows"][0]["cells"] == [0, 1]
    assert [one["short"] for one in data["cells"]] == ["gan · seed 0", "gan · seed 1"]
    assert "<h3>Means over seeds</h3>" in text and "<h3>Each cell</h3>" in text


def test_several_runs_are_one_page_even_with_the_same_cells(tmp_path: Path) -> None:
    runs = [stored(tmp_path / name, cell("gan-1", speed=speed)) for name, speed in (("a", 100.0), ("b", 200.0))]
    text = page_of(*runs)
    assert [one["short"] for one in data_of(text)["cells"]] == ["a · gan", "b · gan"]
    assert Outline(text).names.count("article") == 2
    assert Outline(page_of(runs[0], runs[0])).names.count("article") == 1  # given twice, it counts once
    only = report_page([LoadedRun(run, run.read()) for run in runs], {("b", "gan-1")})
    assert [one["short"] for one in data_of(only)["cells"]] == ["b · gan"]


def test_the_highlights_say_what_is_fastest_and_how_sure_that_is(tmp_path: Path) -> None:
    fast = cell("vae-1", speed=2000.0, estimates=[estimate("fd-cnn", 90.0, 0.5)])
    slow = cell("gan-1", speed=1000.0, estimates=[estimate("fd-cnn", 30.0, 0.5)])
    text = re.sub(r"\s+", " ", page_of(stored(tmp_path / "run", slow, fast)))
    assert "<dt>Finished</dt><dd>all 2 cells</dd>" in text
    assert "<dt>Fastest to train</dt><dd>vae: 2,000 ±2%, 2.00 times the speed of gan" in text
    assert "<dt>Best fd-cnn</dt><dd>gan: 30.00 ± 0.50; next is vae with 90.00 ± 0.50" in text
    assert "another training seed may still change the order" in text
    close = changed(slow, estimates=[estimate("fd-cnn", 89.5, 0.5)])
    text = page_of(stored(tmp_path / "other", close, fast))
    assert "Not distinguishable from vae: the difference is within the errors." in text


def test_a_metric_that_prefers_noise_has_no_best_model(tmp_path: Path) -> None:
    def diverse(value: float) -> Any:
        return estimate("diversity", value, 0.01, direction="higher")

    rows = [
        ReferenceRow(name=name, estimates=[diverse(value)]) for name, value in (("real held-out", 1.0), ("noise", 1.05))
    ]
    cells = [cell("gan-1", estimates=[diverse(0.5)]), cell("vae-1", estimates=[diverse(1.8)])]
    run = stored(tmp_path / "run", *cells, references=(reference(rows=rows),))
    assert "Best diversity" not in page_of(run)
    assert "Best diversity" in page_of(stored(tmp_path / "without", *cells))


def test_a_run_without_cells_or_results_is_a_page_too(tmp_path: Path) -> None:
    never = PlannedCell(id="never-1", identity=identity("never"))
    empty = RunDirectory.create(tmp_path / "empty", plan())
    for run in (empty, stored(tmp_path / "planned", never)):
        Outline(page_of(run))
    assert "No cells were planned." in page_of(empty)
    assert "1 not run" in page_of(stored(tmp_path / "again", never))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e308])
def test_numbers_that_no_chart_can_show_do_no_harm(tmp_path: Path, value: float) -> None:
    bad = cell("gan-1", estimates=[estimate("fd-cnn", value, value)], curves=[
        CurvePoint(step=n, images=n, terms={"loss": value}) for n in (1, 2)
    ], windows=[Window(step=1, steps=1, images=1, seconds=0.0)])  # fmt: skip
    run = stored(tmp_path / "run", bad, cell("vae-1"))
    data_of(page_of(run))


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
    run.log_path("x-1").write_text(evil)
    text = page_of(run)
    assert text.count("<script") == 2  # the data, and the page's own
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert evil in json.dumps(data_of(text)).replace("\\u", "")
    Outline(text)


def test_a_failed_cell_keeps_its_reason_and_its_lines(tmp_path: Path) -> None:
    bad = cell(
        "x-1", status="failed", reason="Traceback:\n  line 1\nValueError: no", windows=[], curves=[], throughput=None
    )
    text = page_of(stored(tmp_path / "run", bad))
    assert '<pre class="reason">Traceback:\n  line 1\nValueError: no</pre>' in text
    assert "<code>genbench explain GB501</code>" in text


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"status": "failed", "code": "GB404"}, "GB404"),
        ({"status": "oom"}, "GB502"),
        ({"status": "failed", "code": "GB501; rm -r ."}, "GB501"),
    ],
)
def test_a_cell_names_what_explains_its_status(facts: dict[str, Any], code: str, tmp_path: Path) -> None:
    text = page_of(stored(tmp_path / "run", cell("x-1", reason="no", **facts), cell("x-2")))
    assert re.findall(r"genbench explain ([^<]*)<", text) == [code]


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


def test_answers_about_what_may_not_be_compared_are_apart(tmp_path: Path) -> None:
    other = comparability(machine="Another CPU")
    cells = [
        cell("a-1", identity("a")),
        cell("b-1", identity("b"), comparability=other),
        cell("c-1", identity("c", dataset="faces"), comparability=other),
    ]
    text = page_of(stored(tmp_path / "run", *cells))
    for label in ("mini on AMD EPYC", "mini on Another CPU", "faces on Another CPU"):
        assert f"<dt>Fastest to train ({label})</dt>" in text
    assert "<dt>Best fd-cnn (faces)</dt>" in text


def test_a_race_is_shown_with_who_was_dropped_when_and_why() -> None:
    """Of eight candidates one is left after 14 seeds; `race.json` states the looks."""
    directory = RunDirectory.open(REFERENCE / "race")
    text = report_page([LoadedRun(directory, directory.read())])
    assert "race" in Outline(text).ids
    (summary, *lanes) = re.findall(r"<tr class=\"(?:left|dropped)\">.*?</tr>|<p>race on .*?</p>", text, re.DOTALL)
    assert "decided after 14 seeds" in summary
    assert len(lanes) == 8
    assert ["dropped" in lane for lane in lanes] == [False, *[True] * 7]
    assert "dropped after 14 seeds by fd-fashion-cnn, 5.7 ± 1.2 worse than cvae" in lanes[1]
    assert lanes[1].count("<line") == len(directory.read().race.looks[0])  # type: ignore[union-attr]


def test_the_report_of_final_cells_shows_the_tuning_that_chose_their_settings(tmp_path: Path) -> None:
    shutil.copy(REFERENCE / "tuning" / "tuning.json", tmp_path)
    run = stored(tmp_path / "final", cell())
    text = report_page([LoadedRun(run, run.read())])
    page = Outline(text)
    assert "tuning" in page.ids
    assert any(link.startswith("data:image/svg+xml") for link in page.links)
    assert "median best of" in text
    (tmp_path / "tuning.json").write_text("{}")
    assert "tuning" not in Outline(report_page([LoadedRun(run, run.read())])).ids
    assert "race" not in page.ids
