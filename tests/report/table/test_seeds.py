"""Cells that differ in nothing but the seed become one row: means, errors over seeds, and how each seed ended."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, comparability, estimate, identity, reference, stored

from genbench.api.evaluation import Estimate, Unavailable
from genbench.report.table import seeds
from genbench.report.table.comparability import same_protocol
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import DAGGER, Row, Table
from genbench.report.table.render import FORMATS, render
from genbench.results.schema import CellResult, Durations, Memory, PlannedCell
from genbench.results.store import RunDirectory, read_runs


def seeded(seed: int, model: str = "gan", *, recipe: dict[str, Any] | None = None, **changes: Any) -> CellResult:
    name = "-".join([model, *map(str, (recipe or {}).values())])
    return cell(f"{name}-s{seed}", identity(model, seed=seed, recipe=recipe or {}), **changes)


def scores(*values: float) -> list[CellResult]:
    return [seeded(seed, estimates=[estimate("fd-cnn", value)]) for seed, value in enumerate(values)]


def pooled(run: RunDirectory) -> Table:
    return make_table(run.read(), over_seeds=True)


def shown(table: Table) -> list[str]:
    return [column.key for column in table.columns if column.shown]


def texts(table: Table, key: str) -> list[str]:
    return [row.values[key].text if key in row.values else "–" for row in table.rows]


def said(table: Table, row: Row, key: str) -> list[str]:
    listing = dict(table.footnotes)
    return [listing[mark] for mark in row.values[key].marks]


def test_a_mean_with_the_standard_error_over_seeds(tmp_path: Path) -> None:
    (row,) = pooled(stored(tmp_path / "run", *scores(30.0, 33.0, 36.0))).rows
    value = row.values["fd-cnn"]
    assert value.raw == 33.0
    assert value.parts["standard_error"] == pytest.approx(3 / math.sqrt(3))  # s = 3
    assert value.text == "33.0 ± 1.7"
    assert (row.values["seeds"].text, row.values["seeds"].raw) == ("3", 3)
    assert row.values["status"].text == "3 ok"
    assert row.values["status"].marks == ()


def test_every_measurement_is_pooled_and_speed_is_the_mean_of_the_medians(tmp_path: Path) -> None:
    cells = [seeded(s, speed=1000.0 + 20 * s, durations=Durations(train=40.0, total=50.0 + s)) for s in (0, 1)]
    table = pooled(stored(tmp_path / "run", *cells))
    (row,) = json.loads(render(table, "json"))["rows"]
    assert row["images/s"] == {"value": 1010.0, "standard_error": pytest.approx(10.0)}
    assert row["time"] == {"value": 50.5, "standard_error": pytest.approx(0.5)}
    assert row["parameters"] == {"value": 3_576_704, "standard_error": 0.0}
    assert texts(table, "images/s") == ["1,010 ± 10"]
    assert texts(table, "parameters") == ["3.58 M"]
    assert texts(table, "peak memory") == ["512"]


def test_seeds_is_a_column_and_seed_is_not(tmp_path: Path) -> None:
    table = pooled(stored(tmp_path / "run", *scores(1.0, 2.0), seeded(0, "vae")))
    assert shown(table) == [
        "model", "seeds", "status", "images/s", "parameters", "peak memory", "fd-cnn", "time", "evaluation time",
    ]  # fmt: skip
    assert "seed" not in [column.key for column in table.columns]
    assert "seed 0" not in table.caption
    assert table.caption.endswith("± is the standard error over training seeds")
    assert texts(table, "model") == ["gan", "vae"]


def test_one_seed_keeps_its_own_error_and_says_what_that_is(tmp_path: Path) -> None:
    table = pooled(stored(tmp_path / "run", seeded(0), *[seeded(s, "vae") for s in (0, 1)]))
    one, two = table.rows
    assert one.values["fd-cnn"].text == "34.57 ± 0.65"
    assert one.values["fd-cnn"].parts == {"standard_error": 0.6543}
    assert one.values["images/s"].text == "1,234"  # the interval of its windows is another thing
    assert said(table, one, "seeds") == ["one seed: the error covers sampling noise only"]
    assert said(table, two, "seeds") == []
    assert two.values["fd-cnn"].text == "34.57"  # both seeds agree: no spread, and no error of one of them


def test_a_seed_that_diverged_has_no_say_and_one_that_collapsed_has(tmp_path: Path) -> None:
    ends = [("ok", 30.0), ("collapsed", 90.0), ("diverged", 1.0), ("failed", 1.0)]
    cells = [
        seeded(seed, status=status, reason="" if status == "ok" else "why", estimates=[estimate("fd-cnn", value)])
        for seed, (status, value) in enumerate(ends)
    ]
    never = PlannedCell(id="gan-s4", identity=identity(seed=4))
    table = pooled(stored(tmp_path / "run", *cells, never))
    (row,) = table.rows
    assert row.values["fd-cnn"].raw == 60.0
    assert row.values["seeds"].raw == 2
    assert row.values["status"].text == "1 ok, 1 failed, 1 diverged, 1 collapsed, 1 not run"
    notes = said(table, row, "status")
    assert {"collapsed: why", "diverged: why", "failed: why"} < set(notes)
    assert "seeds that ended as ok or collapsed; one that diverged or did not finish has no metrics" in notes[-1]


def test_where_no_seed_counts_there_is_no_number(tmp_path: Path) -> None:
    table = pooled(
        stored(tmp_path / "run", *[seeded(s, status="diverged", reason="NaN") for s in (0, 1)], seeded(2, "vae"))
    )
    row = table.rows[0]
    assert (row.values["seeds"].raw, row.values["status"].text) == (0, "2 diverged")
    assert said(table, row, "status") == ["diverged: NaN"]
    assert row.values["fd-cnn"].raw is row.values["images/s"].raw is None


def test_a_metric_that_some_seeds_lack_says_over_how_many_it_is(tmp_path: Path) -> None:
    lacking = [Unavailable("fd-cnn", "no weights")]
    cells = [*scores(30.0, 32.0), seeded(2, estimates=[], unavailable=lacking)]
    table = pooled(stored(tmp_path / "run", *cells))
    (row,) = table.rows
    assert row.values["fd-cnn"].text == "31.0 ± 1.0"
    assert said(table, row, "fd-cnn") == ["fd-cnn: no weights", "fd-cnn: over 2 of 3 seeds"]
    alone = pooled(stored(tmp_path / "alone", seeded(0), seeded(1, estimates=[], unavailable=lacking)))
    assert said(alone, alone.rows[0], "fd-cnn")[-1] == (
        "fd-cnn: over 1 of 2 seeds: the error covers sampling noise only"
    )
    none = pooled(stored(tmp_path / "none", *[seeded(s, estimates=[], unavailable=lacking) for s in (0, 1)]))
    assert none.rows[0].values["fd-cnn"].text == "n/a"


def test_whatever_else_differs_keeps_rows_apart(tmp_path: Path) -> None:
    fast = [seeded(seed, recipe={"learning_rate": 1e-3}) for seed in (0, 1)]
    table = pooled(stored(tmp_path / "run", *scores(1.0, 2.0), *fast))
    assert texts(table, "learning_rate") == ["0.0002", "0.001"]
    assert texts(table, "seeds") == ["2", "2"]
    elsewhere = comparability(machine="Intel Xeon")
    moved = [seeded(0), seeded(1, comparability=elsewhere), seeded(2, status="oom", comparability=None)]
    apart = pooled(stored(tmp_path / "moved", *moved))
    assert texts(apart, "machine") == ["AMD EPYC", "Intel Xeon"]
    assert texts(apart, "status") == ["1 ok, 1 oom", "1 ok"]
    assert all(DAGGER in row.values["images/s"].marks for row in apart.rows)


def test_runs_stay_apart_and_one_that_is_given_twice_is_no_second_seed(tmp_path: Path) -> None:
    first, second = stored(tmp_path / "monday", *scores(1.0, 2.0)), stored(tmp_path / "tuesday", *scores(3.0, 4.0))
    table = make_table(*read_runs([first.path, second.path, first.path]), over_seeds=True)
    assert texts(table, "run") == ["tuesday" if "tuesday" in name else name for name in texts(table, "run")]
    assert texts(table, "seeds") == ["2", "2"]


def test_variants_stay_apart(tmp_path: Path) -> None:
    cells = [seeded(seed, recipe={"ema_half_life": half}) for half in (0.0, 9.0) for seed in (0, 1)]
    names = ("plain", "plain", "averaged", "averaged")
    planned = [PlannedCell(id=c.id, identity=c.identity, variant=name) for c, name in zip(cells, names, strict=True)]
    run = stored(tmp_path / "run", *planned)
    for result in cells:
        run.write_cell(result)
    table = pooled(run)
    assert texts(table, "variant") == ["plain", "averaged"]
    assert [said(table, row, "variant") for row in table.rows] == [[], ["averaged: ema_half_life = 9, not 0"]]
    assert shown(table)[:4] == ["model", "variant", "seeds", "status"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_shows_means_sorted(tmp_path: Path, format: str) -> None:
    worse = [seeded(seed, "vae", estimates=[estimate("fd-cnn", 90.0 + seed)]) for seed in (0, 1)]
    table = pooled(stored(tmp_path / "run", *scores(30.0, 32.0), *worse, references=(reference(),)))
    text = render(table, format, "-fd-cnn", ["model", "seeds", "status", "fd-cnn", "images/s", "id"])
    assert "2 ok" in text
    assert text.index("vae") < text.index("gan") < text.index("real held-out")
    if format == "csv":
        row = list(csv.DictReader(io.StringIO(text)))[1]
        assert (row["seeds"], row["fd-cnn"], row["fd-cnn standard_error"]) == ("2", "31.0", "1.0")
        assert (row["id"], row["images/s standard_error"]) == ("gan-s0, gan-s1", "0.0")
    elif format == "plain":
        assert "31.0 ± 1.0" in text


def test_without_the_flag_every_cell_has_its_row(tmp_path: Path) -> None:
    table = make_table(stored(tmp_path / "run", *scores(1.0, 2.0)).read())
    assert texts(table, "seed") == ["0", "1"]
    assert "seeds" not in [column.key for column in table.columns]


def test_a_run_without_cells_is_an_empty_table(tmp_path: Path) -> None:
    assert pooled(stored(tmp_path / "run")).rows == ()


def test_digits_that_nobody_reads_are_no_spread(tmp_path: Path) -> None:
    cells = [seeded(seed, memory=Memory(peak_rss=512 * 2**20 + 4096 * seed)) for seed in (0, 1)]
    value = pooled(stored(tmp_path / "run", *cells)).rows[0].values["peak memory"]
    assert value.text == "512"
    assert value.parts["standard_error"] == pytest.approx(0.5 * 4096 / 2**20)


def test_the_work_grows_with_the_cells_and_not_with_their_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(tmp_path / "run", *scores(*map(float, range(30))))
    compared = []

    def counted(one: Estimate, other: Estimate) -> bool:
        compared.append(one.metric)
        return same_protocol(one, other)

    monkeypatch.setattr(seeds, "same_protocol", counted)
    (row,) = pooled(run).rows
    assert row.values["seeds"].raw == 30
    assert len(compared) == 29


def test_a_protocol_that_one_of_several_seeds_has_keeps_others_away(tmp_path: Path) -> None:
    first = estimate("fd-cnn", 1.0)
    other = replace(first, protocol={**first.protocol, "weights": "other"})
    cells = [seeded(0, estimates=[first]), seeded(1, estimates=[]), seeded(2, estimates=[other])]
    assert texts(pooled(stored(tmp_path / "run", *cells)), "seeds") == ["2", "1"]
