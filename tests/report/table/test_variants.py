"""A variant's name is a column and stands for the fields that it changes; those stay in the raw formats."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from example_runs import cell, changed, choice, identity, stored
from hypothesis import given
from hypothesis import strategies as st

from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import Table
from genbench.report.table.render import render
from genbench.report.table.settings import divide
from genbench.results.schema import CellIdentity, CellResult, PlannedCell
from genbench.results.store import RunDirectory, read_runs

Named = tuple[str, CellResult]  # a variant, and its cell


def named(variant: str, asked: CellIdentity | None = None, **recipe: object) -> Named:
    base = asked or identity()
    full = changed(base, recipe={**base.recipe, "ema_half_life": 0.0, **recipe})
    return variant, cell(f"{base.model.name}-{variant}-{base.seed}", full)


def run_of(path: Path, *cells: Named) -> RunDirectory:
    planned = [PlannedCell(id=result.id, identity=result.identity, variant=variant) for variant, result in cells]
    run = stored(path, *planned)
    for _, result in cells:
        run.write_cell(result)
    return run


def shown(table: Table) -> list[str]:
    return [column.key for column in table.columns if column.shown]


def texts(table: Table, key: str) -> list[str]:
    return [row.values[key].text if key in row.values else "–" for row in table.rows]


def footnotes(table: Table, key: str) -> list[list[str]]:
    said = dict(table.footnotes)
    return [[said[mark] for mark in row.values[key].marks] for row in table.rows]


def test_one_column_in_place_of_many(tmp_path: Path) -> None:
    many = {"ema_half_life": 1e4, "batch_size": 128, "dropout": 0.5}
    table = make_table(run_of(tmp_path / "run", named("plain", dropout=0.0), named("all", **many)).read())
    assert shown(table)[:3] == ["model", "variant", "status"]
    assert texts(table, "variant") == ["plain", "all"]
    # What differs from the most usual values is said; the first of two is the usual one.
    assert footnotes(table, "variant") == [
        [],
        ["all: batch_size = 128, not 32; dropout = 0.5, not 0; ema_half_life = 10000, not 0"],
    ]
    assert "batch" not in table.caption


def test_the_fields_stay_in_the_raw_formats_and_can_be_asked_for(tmp_path: Path) -> None:
    table = make_table(run_of(tmp_path / "run", named("plain"), named("averaged", ema_half_life=1e4)).read())
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [(row["variant"], float(row["ema_half_life"])) for row in rows] == [("plain", 0.0), ("averaged", 1e4)]
    assert [row["ema_half_life"] for row in json.loads(render(table, "json"))["rows"]] == [0.0, 1e4]
    assert "ema_half_life" not in render(table, "latex", columns=["model"])
    assert render(table, "plain", columns=["ema_half_life"]).splitlines()[-1].strip() == "10000"


def test_the_column_follows_the_loss(tmp_path: Path) -> None:
    other = identity(loss="hinge", dataset="other")
    table = make_table(run_of(tmp_path / "run", named("plain"), named("plain", other)).read())
    assert shown(table)[:5] == ["model", "loss", "variant", "dataset", "status"]


def test_a_variant_is_a_column_even_where_all_rows_have_the_same(tmp_path: Path) -> None:
    table = make_table(run_of(tmp_path / "run", named("plain"), named("plain", identity("vae"))).read())
    assert texts(table, "variant") == ["plain", "plain"]
    assert "plain" not in table.caption
    assert table.footnotes == ()


def test_a_field_that_also_differs_within_a_variant_keeps_its_column(tmp_path: Path) -> None:
    cells = [named(v, batch_size=size, ema_half_life=h) for v, h in (("a", 0.0), ("b", 9.0)) for size in (32, 64)]
    unique = [(variant, changed(result, id=f"c-{n}")) for n, (variant, result) in enumerate(cells)]
    table = make_table(run_of(tmp_path / "run", *unique).read())
    assert shown(table)[:4] == ["model", "variant", "batch_size", "status"]
    assert footnotes(table, "variant")[2] == ["b: ema_half_life = 9, not 0"]


def test_models_that_differ_by_themselves_are_not_told_by_the_variant(tmp_path: Path) -> None:
    vae = identity("vae", recipe={"batch_size": 100})
    cells = (named("plain"), named("averaged", ema_half_life=9.0), named("plain", vae))
    table = make_table(run_of(tmp_path / "run", *cells).read())
    assert texts(table, "batch_size") == ["32", "32", "100"]
    assert footnotes(table, "variant") == [[], ["averaged: ema_half_life = 9, not 0"], []]


def test_a_field_that_only_one_variant_fills_is_told_too(tmp_path: Path) -> None:
    cells = (named("scratch", init_from=""), named("transfer", init_from="run:gan"))
    table = make_table(run_of(tmp_path / "run", *cells).read())
    assert footnotes(table, "variant") == [[], ["transfer: init_from = run:gan, not –"]]
    assert [row["init_from"] for row in json.loads(render(table, "json"))["rows"]] == [None, "run:gan"]


def test_rows_without_a_variant_stand_beside_those_with_one(tmp_path: Path) -> None:
    old = run_of(tmp_path / "old", named(""))
    new = run_of(tmp_path / "new", named("plain"), named("averaged", ema_half_life=9.0))
    table = make_table(*read_runs([old.path, new.path]))
    assert texts(table, "variant") == ["–", "plain", "averaged"]
    assert footnotes(table, "variant") == [[], [], ["averaged: ema_half_life = 9, not 0"]]
    assert "variant" not in render(make_table(old.read()), "csv")


def test_one_name_for_two_recipes_in_two_runs_does_not_hide_the_difference(tmp_path: Path) -> None:
    monday = run_of(tmp_path / "monday", named("averaged", ema_half_life=9.0))
    tuesday = run_of(tmp_path / "tuesday", named("averaged", ema_half_life=99.0))
    table = make_table(*read_runs([monday.path, tuesday.path]))
    assert texts(table, "ema_half_life") == ["9", "99"]
    assert "ema_half_life" in shown(table)


def test_a_name_cannot_steer_a_terminal_or_a_spreadsheet(tmp_path: Path) -> None:
    table = make_table(
        run_of(tmp_path / "run", named("=1\x1b[2J", asked=changed(identity(), model=choice("m")))).read()
    )
    assert texts(table, "variant") == ["=1 [2J"]
    assert next(csv.DictReader(io.StringIO(render(table, "csv"))))["variant"].startswith("'=1")


NAMES = ("model", "loss", "dataset", "variant", "seed", "precision", "learning_rate", "batch_size", "gan.width")
rows_of_settings = st.lists(st.fixed_dictionaries({name: st.integers(0, 1) for name in NAMES}), max_size=6)


@given(rows_of_settings)
def test_rows_that_differ_look_different_and_nothing_is_said_twice(rows: list[dict[str, int]]) -> None:
    settings = divide(rows)
    groups = (set(settings.shared), set(settings.varying), set(settings.implied))
    assert sum(map(len, groups)) == len(set().union(*groups))
    looks = {tuple(row[name] for name in ("model", *settings.varying)) for row in rows}
    assert len(looks) == len({tuple(row[name] for name in NAMES) for row in rows})
