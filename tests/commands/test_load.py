"""`genbench.load`: the results of runs as Python objects."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, choice, comparability, estimate, identity, reference, stored

import genbench
from genbench.cli import invoke
from genbench.errors import UsageError
from genbench.results.schema import CellIdentity, CellResult, PlannedCell

HOSTILE = "<script>alert(1)</script>|`x`"


def seeded(seed: int, value: float, **changes: Any) -> CellResult:
    return cell(f"gan-{seed}", identity("gan", seed=seed), estimates=[estimate("fd-cnn", value)], **changes)


def vae(**changes: Any) -> CellIdentity:
    return identity("vae", "elbo", recipe={"learning_rate": 1e-3}, **changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with three seeds of a model, one failed cell, a damaged one, and one that has not run."""
    failed = cell("vae-1", vae(), status="failed", reason=HOSTILE, throughput=None, estimates=[], curves=[])
    waiting = PlannedCell(id="vae-2", identity=vae(seed=1))
    damaged = cell("vae-3", vae(seed=2))
    cells = [seeded(0, 10.0), seeded(1, 20.0), seeded(2, 30.0), failed, waiting, damaged]
    directory = stored(tmp_path / "run", *cells, references=(reference(),))
    directory.cell_path("vae-3").write_text("{")
    directory.sample_path("gan-0").write_bytes(b"")
    return directory.path


def test_every_planned_cell_is_there_whatever_became_of_it(run: Path) -> None:
    results = genbench.load(run)
    assert [c.status for c in results.cells] == ["ok", "ok", "ok", "failed", "not run", "damaged"]
    assert not results.succeeded
    assert results.cells[3].reason == HOSTILE
    assert "JSON" in results.cells[5].reason or results.cells[5].reason
    assert list(results.damaged) == [f"{run}/cells/vae-3.json"]
    assert results.cells[4].estimates == () == results.cells[5].windows


def test_a_cell_has_what_is_stored_about_it(run: Path) -> None:
    first = genbench.load(run).cells[0]
    assert (first.id, first.model, first.loss, first.dataset, first.seed) == (
        "gan-0", "gan", "non-saturating", "mini", 0,
    )  # fmt: skip
    assert first.estimate("fd-cnn").value == 10.0
    assert first.recipe["learning_rate"] == 2e-4
    assert first.settings["gan.width"] == 64
    assert [window.warmup for window in first.windows[:2]] == [True, False]
    assert first.curves[0].terms == {"discriminator": 1.4, "generator": 0.1}
    assert first.memory is not None and first.memory.peak_rss == 512 * 2**20
    assert first.pictures == {"samples": run / "samples" / "gan-0.png"}
    assert first.weights == {}
    with pytest.raises(UsageError, match="Did you mean 'fd-cnn'"):
        first.estimate("fd-cn")
    with pytest.raises(TypeError):
        first.recipe["learning_rate"] = 1.0  # type: ignore[index]


def test_cells_are_chosen_by_any_setting_under_its_name_in_the_table(run: Path) -> None:
    results = genbench.load(run)
    assert [c.id for c in results.where(model="gan", seed=[1, 2])] == ["gan-1", "gan-2"]
    assert [c.id for c in results.where(status=("failed", "damaged"))] == ["vae-1", "vae-3"]
    assert len(results.where(learning_rate=1e-3)) == len(results.where(loss="elbo")) == 3
    assert len(results.where({"gan.width": 64})) == len(results.where(gan_width=64)) == 3
    assert len(results.where(image_shape="1×28×28", nproc=1)) == 6  # the default of a field that older runs lack
    assert len(results.where(seed=True)) == 0
    assert len(results.where(model="gan").where(seed=0)) == 1
    with pytest.raises(UsageError, match=r"No cell has a setting 'learning_rat'. Did you mean 'learning_rate'"):
        results.where(learning_rat=1)
    with pytest.raises(UsageError, match="There is no status 'okay'"):
        results.where(status="okay")


def test_seeds_are_pooled_as_in_the_table(run: Path) -> None:
    pooled = genbench.load(run).pooled()
    gan = pooled[0]
    assert (gan.seeds, [c.seed for c in gan.cells]) == (3, [0, 1, 2])
    assert gan.values["fd-cnn"].value == 20.0
    assert gan.values["fd-cnn"].standard_error == pytest.approx(10 / 3**0.5)


def test_groups_hold_what_may_be_compared(tmp_path: Path) -> None:
    other = estimate("fd-cnn", 3.0, protocol={"weights": "2222"})
    cells = [
        cell("gan-1"),
        cell("gan-2", identity(seed=1), comparability=comparability(machine="another")),
        cell("gan-3", identity(seed=2), estimates=[other]),
    ]
    results = genbench.load(stored(tmp_path / "run", *cells).path)
    assert [[c.id for c in group] for group in results.comparable("fd-cnn")] == [["gan-1", "gan-2"], ["gan-3"]]
    assert [[c.id for c in group] for group in results.comparable("images/s")] == [["gan-1", "gan-3"], ["gan-2"]]
    with pytest.raises(UsageError, match="Did you mean 'fd-cnn'"):
        results.comparable("fd-cn")


@pytest.mark.parametrize("format", ["plain", "github", "latex", "html", "csv", "json"])
def test_a_table_is_what_the_command_prints(run: Path, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["table", str(run), "--format", format, "--sort=-fd-cnn", "--per-seed"]) == 0
    printed = capsys.readouterr().out
    table = genbench.load(run).table(sort="-fd-cnn", over_seeds=False)
    assert (str(table) if format == "plain" else table.text(format)) == printed


def test_records_are_the_values_of_csv(run: Path) -> None:
    table = genbench.load(run).table(["model", "fd-cnn"], "-fd-cnn", over_seeds=False)
    rows = list(csv.DictReader(io.StringIO(table.text("csv"))))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in table.records] == rows
    assert table.records[0] == {"kind": "cell", "model": "gan", "fd-cnn": 30.0, "fd-cnn standard_error": 0.5}
    with pytest.raises(UsageError, match="No column is called 'modle'"):
        genbench.load(run).table(["modle"])


def test_what_a_notebook_shows_is_escaped(run: Path) -> None:
    results = genbench.load(run)
    assert "&lt;script&gt;" in results._repr_html_() and "<script>" not in results._repr_html_()
    assert "<script>" not in results._repr_markdown_()
    assert r"\|" in results._repr_markdown_()


def test_json_holds_every_cell_with_all_settings(run: Path) -> None:
    data = json.loads(genbench.load(run).to_json())
    assert [c["status"] for c in data["cells"]] == ["ok", "ok", "ok", "failed", "not run", "damaged"]
    assert data["cells"][0]["settings"]["learning_rate"] == 2e-4
    assert data["cells"][0]["result"]["estimates"][0]["value"] == 10.0
    assert data["runs"]["run"]["damaged"].keys() == {"cells/vae-3.json"}


def test_several_runs_are_read_together(run: Path, tmp_path: Path) -> None:
    other = stored(tmp_path / "elsewhere" / "run", cell("gan-1")).path
    for results in (genbench.load(run, other), genbench.load([run, str(other)])):
        assert len(results) == 7
        assert {c.run for c in results} == {str(run), str(other)}
        assert [c.id for c in results.where(run=str(other))] == ["gan-1"]
    with pytest.raises(UsageError, match="does not exist"):
        genbench.load(tmp_path / "nowhere")


def test_a_cell_is_found_by_an_unambiguous_part(run: Path) -> None:
    results = genbench.load(run)
    assert results.cell("gan-1").seed == 1
    with pytest.raises(UsageError, match="matches 3 cells"):
        results.cell("gan")
    with pytest.raises(UsageError, match="Did you mean 'vae'"):
        results.cell("vea")


def test_reading_imports_neither_torch_nor_numpy(run: Path) -> None:
    program = f"""
import sys, genbench
results = genbench.load({str(run)!r})
results.table().text("html"), results.pooled(), results.comparable("fd-cnn"), results.to_json()
print({{"torch", "numpy", "pandas"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr


def test_without_a_data_frame_library_the_error_says_what_to_do(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = genbench.load(run)
    for library, make in (("pandas", results.to_pandas), ("polars", results.to_polars)):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(UsageError, match=f"pip install {library}"):
            make()


LAYOUTS = ("wide", "long", "curves", "evaluations", "windows")


def test_data_frames_of_pandas_have_typed_columns(run: Path) -> None:
    pandas = pytest.importorskip("pandas")
    results = genbench.load(run)
    wide = results.to_pandas()
    assert len(wide) == 6
    assert wide["seed"].tolist() == [0, 1, 2, 0, 1, 2]
    assert {name: str(wide[name].dtype) for name in ("seed", "learning_rate", "fd-cnn", "model")} == {
        "seed": "Int64", "learning_rate": "float64", "fd-cnn": "float64", "model": "string",
    }  # fmt: skip
    assert wide["peak memory (MiB)"][0] == 512 and wide.attrs["units"]["peak memory (MiB)"] == "MiB"
    assert wide["fd-cnn standard_error"][0] == 0.5 and pandas.isna(wide["fd-cnn"][4])
    long = results.to_pandas("long").query("quantity == 'fd-cnn'")
    assert long["value"].tolist() == [10.0, 20.0, 30.0]
    assert results.where(model="gan").to_pandas("curves")["term"].nunique() == 2
    with pytest.raises(UsageError, match="Did you mean 'wide'"):
        results.to_pandas("wdie")  # type: ignore[arg-type]


def test_data_frames_of_polars_have_the_same_columns_and_rows(run: Path) -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip("pandas")
    results = genbench.load(run)
    for layout in LAYOUTS:
        one, other = results.to_polars(layout), results.to_pandas(layout)  # type: ignore[arg-type]
        assert (one.columns, len(one)) == (list(other.columns), len(other)), layout
    assert results.to_polars()["seed"].dtype == polars.Int64


def test_the_page_shows_the_chosen_cells(run: Path, tmp_path: Path) -> None:
    page = genbench.load(run).where(seed=[0, 1], model="gan").report(tmp_path / "page.html")
    text = page.read_text()
    assert text.count("<article") == 2
    assert "seed 2" not in text
    whole = genbench.load(run).report(page).read_text()
    assert 'class="status bad">damaged<' in whole
    assert HOSTILE not in whole


def test_names_that_differ_in_case_only_choose_different_cells(tmp_path: Path) -> None:
    upper = changed(identity("GAN"), model=choice("GAN", width=8))
    results = genbench.load(stored(tmp_path / "run", cell("gan-1"), cell("GAN-1", upper)).path)
    assert [c.id for c in results.where(model="GAN")] == ["GAN-1"]
    assert results.cell("gan").id == "gan-1"
    assert [c.id for c in results.where({"GAN.width": 8})] == [c.id for c in results.where(GAN_width=8)] == ["GAN-1"]
    assert [c.id for c in results.where(gan_width=64)] == ["gan-1"]
    with pytest.raises(UsageError, match=r"may mean gan.width or GAN.width"):
        results.where(Gan_width=8)
