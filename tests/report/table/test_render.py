"""Every format: sorted by number, escaped, raw where a program reads."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from example_runs import cell, changed, choice, estimate, identity, reference, stored

from genbench.api.evaluation import Unavailable
from genbench.errors import UsageError
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import Table
from genbench.report.table.render import FORMATS, render
from genbench.results.schema import PlannedCell


@pytest.fixture
def table(tmp_path: Path) -> Table:
    run = stored(
        tmp_path / "run",
        cell("a-1", speed=1234.0, estimates=[estimate("fd-cnn", 34.5678, 0.6543)]),
        cell("b-1", speed=980.0, estimates=[estimate("fd-cnn", 9.1, 0.2)]),
        cell("c-1", speed=12_345.0, estimates=[], unavailable=[Unavailable("fd-cnn", "no weights | see <docs>")]),
        PlannedCell(id="d-1", identity=identity("d")),
        references=(reference(),),
    )
    return make_table(run.read())


def nasty_table(tmp_path: Path, name: str, reason: str = "") -> Table:
    asked = changed(identity(), model=choice(name))
    return make_table(stored(tmp_path / "run", cell("x-1", asked, status="failed", reason=reason or name)).read())


def order(table: Table, sort: str) -> list[str]:
    rows = json.loads(render(table, "json", sort=sort))["rows"]
    return [row["model"] for row in rows]


def test_github_is_what_it_says(table: Table) -> None:
    assert render(table, "github", columns=["model", "images/s", "fd-cnn"]) == (
        "non-saturating · mini · 1×28×28 · cpu · AMD EPYC · 2 cores · 2 threads · fp32 · eager · batch 32"
        " · 60,000 images · torch 2.15 · Python 3.12 · genbench 0.1.0 · seed 0"
        " · n = 1 training seed: metric errors cover sampling noise only\n"
        "\n"
        "| model         |   images/s ↑ |        fd-cnn ↓ |\n"
        "|---------------|--------------|-----------------|\n"
        "| a             |    1,234 ±2% |    34.57 ± 0.65 |\n"
        "| b             |      980 ±2% |     9.10 ± 0.20 |\n"
        "| c             |   12,345 ±2% | n/a<sup>1</sup> |\n"
        "| d             |            – |               – |\n"
        "| real held-out |            – |   1.250 ± 0.043 |\n"
        "| noise         |            – |     912.3 ± 4.1 |\n"
        "\n"
        "<sup>1</sup> fd-cnn: no weights \\| see &lt;docs&gt;\n"
    )


def test_sorting_is_by_number_missing_last_references_at_the_end(table: Table) -> None:
    references = ["real held-out", "noise"]
    assert order(table, "images/s") == ["b", "a", "c", "d", *references]  # as text, 12,345 would come first
    assert order(table, "-images/s") == ["c", "a", "b", "d", *references]
    assert order(table, "fd-cnn") == ["b", "a", "c", "d", *references]  # as text, 34 would come before 9
    assert order(table, "-fd-cnn") == ["a", "b", "c", "d", *references]
    assert order(table, "-model") == ["d", "c", "b", "a", *references]


def test_csv_carries_raw_numbers(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    first = rows[0]
    assert (first["kind"], first["model"], first["images/s"]) == ("cell", "a", "1234.0")
    assert float(first["fd-cnn"]) == 34.5678
    assert float(first["fd-cnn standard_error"]) == 0.6543
    assert float(first["images/s low"]) == pytest.approx(0.98 * 1234)
    assert float(first["peak memory (MiB)"]) == 512
    assert first["batch_size"] == "32"  # constant, and there all the same
    assert rows[2]["fd-cnn"] == ""
    assert rows[2]["notes"] == "fd-cnn: no weights | see <docs>"
    assert [row["kind"] for row in rows] == ["cell"] * 4 + ["reference"] * 2


def test_json_carries_raw_numbers(table: Table) -> None:
    data = json.loads(render(table, "json"))
    assert data["rows"][0]["fd-cnn"] == {"value": 34.5678, "standard_error": 0.6543}
    assert data["rows"][0]["parameters"] == 3_576_704
    assert data["rows"][3]["fd-cnn"] == {"value": None, "standard_error": None}
    assert {"key": "fd-cnn", "unit": "", "direction": "lower"} in data["columns"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_names_every_row(table: Table, format: str) -> None:
    text = render(table, format)
    assert text.endswith("\n")
    for name in ("a", "b", "c", "d", "real held-out", "noise"):
        assert name in text


@pytest.mark.parametrize("format", FORMATS)
def test_a_table_without_rows_renders(tmp_path: Path, format: str) -> None:
    assert "model" in render(make_table(stored(tmp_path / "run").read()), format)


def test_html_is_escaped(tmp_path: Path) -> None:
    text = render(nasty_table(tmp_path, "<script>alert('1')</script>&"), "html")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&amp;" in text


def test_latex_is_escaped(tmp_path: Path) -> None:
    text = render(nasty_table(tmp_path, r"\input{x}_%&#$^~"), "latex")
    assert r"\textbackslash{}input\{x\}\_\%\&\#\$\textasciicircum{}\textasciitilde{}" in text
    assert r"\input{" not in text


def test_markdown_cannot_break_out_of_its_cell(tmp_path: Path) -> None:
    row = next(
        line for line in render(nasty_table(tmp_path, "a|b<img>`c`*d*"), "github").splitlines() if "failed" in line
    )
    assert r"a\|b&lt;img&gt;\`c\`\*d\*" in row


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1+1", "\t=1+1", "\n=1+1", "＝1+1"])
def test_a_spreadsheet_runs_no_formula(tmp_path: Path, name: str) -> None:
    rows = list(csv.DictReader(io.StringIO(render(nasty_table(tmp_path, name), "csv"))))
    assert rows[0]["model"] == f"'{name}"


def test_csv_quotes_what_would_break_a_row(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(render(nasty_table(tmp_path, 'a,"b"\nc'), "csv"))))
    assert len(rows) == 1
    assert rows[0]["model"] == 'a,"b"\nc'


def test_what_is_unknown_gets_the_near_miss(table: Table) -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'github'"):
        render(table, "githb")
    with pytest.raises(UsageError, match=r"Did you mean 'fd-cnn'"):
        render(table, "plain", sort="-fd-cn")
    with pytest.raises(UsageError, match=r"Did you mean 'model'[\s\S]*Columns: "):
        render(table, "plain", columns=["modell"])


def test_any_column_can_be_asked_for(table: Table) -> None:
    text = render(table, "plain", columns=["id", "batch_size", "steps done"])
    assert text.splitlines()[2].split() == ["id", "batch_size", "steps", "done"]
    assert "a-1                 32" in " ".join(text.split("\n"))
