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
from genbench.report.table.best import ONE_SEED, OVER_SEEDS
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
        "| model         |     images/s ↑ |        fd-cnn ↓ |\n"
        "|---------------|----------------|-----------------|\n"
        "| a             |      1,234 ±2% |    34.57 ± 0.65 |\n"
        "| b             |        980 ±2% | **9.10 ± 0.20** |\n"
        "| c             | **12,345 ±2%** | n/a<sup>1</sup> |\n"
        "| d             |              – |               – |\n"
        "| real held-out |              – |   1.250 ± 0.043 |\n"
        "| noise         |              – |     912.3 ± 4.1 |\n"
        "\n"
        "<sup>1</sup> fd-cnn: no weights \\| see &lt;docs&gt;  \n"
        f"**bold**: {ONE_SEED}\n"
    )


def test_sorting_is_by_number_missing_last_references_at_the_end(table: Table) -> None:
    references = ["real held-out", "noise"]
    assert order(table, "images/s") == ["b", "a", "c", "d", *references]  # as text, 12,345 would come first
    assert order(table, "-images/s") == ["c", "a", "b", "d", *references]
    assert order(table, "fd-cnn") == ["b", "a", "c", "d", *references]  # as text, 34 would come before 9
    assert order(table, "-fd-cnn") == ["a", "b", "c", "d", *references]
    assert order(table, "-model") == ["d", "c", "b", "a", *references]


@pytest.mark.parametrize(
    ("sort", "models"),
    [(None, ["b", "a"]), ("images/s", ["b", "a"]), ("-images/s", ["c", "a"]), ("-model", ["d", "c"])],
)
def test_of_many_rows_the_first_are_shown_and_the_caption_says_so(
    table: Table, sort: str | None, models: list[str]
) -> None:
    shown = json.loads(render(table, "json", sort, most_rows=2))
    assert [row["model"] for row in shown["rows"] if row["kind"] == "cell"] == models
    assert [row["model"] for row in shown["rows"] if row["kind"] == "reference"] == ["real held-out", "noise"]
    by = (sort or "fd-cnn").removeprefix("-")
    assert shown["caption"].endswith(f" · the first 2 of 4 rows by {by} (all: --rows 0)")
    assert render(table, "plain", sort, most_rows=4) == render(table, "plain", sort)


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


def test_latex_is_a_table_of_booktabs_with_caption_label_and_the_best_in_bold(table: Table) -> None:
    lines = render(table, "latex", columns=["model", "images/s", "fd-cnn"]).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    assert lines[1:3] == [r"\begin{table}", r"\centering"]
    assert lines[3].startswith(r"\caption{non-saturating $\cdot$ mini $\cdot$ 1$\times$28$\times$28")
    assert lines[4:] == [
        r"\label{tab:run}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"model & images/s $\uparrow$ & fd-cnn $\downarrow$ \\",
        r"\midrule",
        r"a & 1,234 $\pm$2\% & 34.57 $\pm$ 0.65 \\",
        r"b & 980 $\pm$2\% & \textbf{9.10 $\pm$ 0.20} \\",
        r"c & \textbf{12,345 $\pm$2\%} & n/a$^{1}$ \\",
        r"d & -- & -- \\",
        r"\midrule",
        r"real held-out & -- & 1.250 $\pm$ 0.043 \\",
        r"noise & -- & 912.3 $\pm$ 4.1 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize $^{1}$ fd-cnn: no weights \textbar{} see \textless{}docs\textgreater{}",
        rf"\par\footnotesize \textbf{{bold}}: {ONE_SEED}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("name", ["[4pt]", "*", "a}b{", "β-vae", "$x$"])
def test_a_row_of_latex_cannot_begin_with_an_argument_or_break_its_braces(tmp_path: Path, name: str) -> None:
    text = render(nasty_table(tmp_path, name), "latex")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert not any(row.startswith(("[", "*")) for row in rows)
    body = text.replace(r"\{", "").replace(r"\}", "")
    assert body.count("{") == body.count("}")
    assert body.replace(r"\$", "").count("$") % 2 == 0
    assert "need LuaLaTeX" not in text  # Greek letters become commands
    assert "need LuaLaTeX" in render(nasty_table(tmp_path / "other", "模型"), "latex")


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


@pytest.mark.parametrize("format", ["plain", "github", "latex", "html"])
def test_footnotes_are_numbered_from_one_in_the_order_shown(tmp_path: Path, format: str) -> None:
    cells = [
        cell("a-1", status="failed", reason="first", unavailable=[Unavailable("fid", "none")]),
        cell("b-1", status="failed", reason="second"),
        cell("c-1", status="failed", reason="second"),
    ]
    table = make_table(stored(tmp_path / "run", *cells).read())
    assert [mark for mark, _ in table.footnotes] == ["1", "2", "3"]
    text = render(table, format, sort="-model", columns=["model", "status"])
    assert text.count("second") == 1
    notes = text[max(text.rfind("failed: second") - 12, 0) :]
    assert notes.index("1") < notes.index("failed: second") < notes.index("failed: first")
    assert "none" not in text and "3" not in notes


def test_lines_keep_to_the_width_and_no_number_is_cut(table: Table) -> None:
    whole = render(table, "plain").split()
    for width in (200, 120, 80, 60, 40):
        text = render(table, "plain", width=width)
        lines = text.splitlines()
        assert max(map(len, lines)) <= width, width
        for number in ("1,234 ±2%", "12,345 ±2%", "9.10 ± 0.20", "912.3 ± 4.1"):
            assert number in text
        missing = {word for word in whole if word not in text.split()} - {"evaluation", "(s)", "peak", "memory"}
        left_out = next((line for line in lines if line.startswith("Not shown: ")), "")
        assert (width < 120) == bool(left_out)
        assert not missing or left_out
    assert "Not shown: parameters, peak memory, evaluation time." in render(table, "plain", width=60).splitlines()


def test_chosen_columns_are_all_shown_and_what_is_too_wide_continues_below(table: Table) -> None:
    chosen = ["model", "images/s", "parameters", "peak memory", "fd-cnn", "time"]
    lines = render(table, "plain", columns=chosen, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert [line.split()[0] for line in lines if line.startswith("model")] == ["model"] * 4
    assert "Not shown" not in "".join(lines)


def test_names_that_differ_in_case_only_are_different_columns(tmp_path: Path) -> None:
    upper = changed(identity("GAN"), model=choice("GAN", width=8))
    table = make_table(stored(tmp_path / "run", cell("gan-1"), cell("GAN-1", upper)).read())
    rows = json.loads(render(table, "json", columns=["model", "gan.width", "GAN.width"]))["rows"]
    assert rows == [
        {"kind": "cell", "model": "gan", "gan.width": 64, "GAN.width": None},
        {"kind": "cell", "model": "GAN", "gan.width": None, "GAN.width": 8},
    ]
    assert json.loads(render(table, "json", columns=["Model"]))["columns"][0]["key"] == "model"
    with pytest.raises(UsageError, match=r"may mean gan.width or GAN.width"):
        render(table, "plain", columns=["Gan.width"])


def test_the_best_over_seeds_and_over_one_seed_are_told_apart(tmp_path: Path) -> None:
    cells = [
        cell(f"{model}-{seed}", identity(model, seed=seed), estimates=[estimate("fd-cnn", value + 0.1 * seed)])
        for model, value in (("a", 10.0), ("b", 20.0))
        for seed in (0, 1, 2)
    ]
    table = make_table(stored(tmp_path / "run", *cells).read(), over_seeds=True)
    text = render(table, "github", columns=["model", "fd-cnn"])
    assert "**10.100 ± 0.058**" in text
    assert f"**bold**: {OVER_SEEDS}" in text and "one seed" not in text
    assert "bold" not in render(table, "github", columns=["model"])
