"""Names of rows in legends: what differs is said, what follows from the model is not."""

from __future__ import annotations

from pathlib import Path

from example_runs import cell, identity, stored

from genbench.report.charts.row_names import row_names, unnamed_settings
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import CellResult


def names(path: Path, *cells: CellResult, over_seeds: bool = False) -> list[str]:
    return [*row_names(make_table(stored(path / "run", *cells).read(), over_seeds=over_seeds)).values()]


def test_the_model_is_enough_where_nothing_else_differs(tmp_path: Path) -> None:
    assert names(tmp_path, cell("gan-1"), cell("vae-1", identity("vae", "elbo"))) == ["gan", "vae"]


def test_settings_that_differ_within_a_model_are_named(tmp_path: Path) -> None:
    cells = [
        cell("gan-1", identity(loss="hinge", recipe={"batch_size": 16})),
        cell("gan-2", identity(recipe={"batch_size": 16})),
        cell("gan-3", identity(recipe={"batch_size": 64})),
    ]
    assert names(tmp_path, *cells) == [
        "gan · hinge · batch_size 16",
        "gan · non-saturating · batch_size 16",
        "gan · non-saturating · batch_size 64",
    ]


def test_a_setting_that_follows_from_the_model_is_named_where_it_is_unusual(tmp_path: Path) -> None:
    cells = [cell(f"m{n}-1", identity(f"m{n}", recipe={"batch_size": 64 if n == 2 else 32})) for n in range(3)]
    assert names(tmp_path, *cells) == ["m0", "m1", "m2 · batch_size 64"]
    table = make_table(stored(tmp_path / "again", *cells).read())
    assert unnamed_settings(table) == {"batch_size": "batch_size 32"}


def test_seeds_are_named_unless_they_are_pooled(tmp_path: Path) -> None:
    cells = [cell(f"gan-{seed}", identity(seed=seed)) for seed in (0, 1)]
    assert names(tmp_path, *cells) == ["gan · seed 0", "gan · seed 1"]
    assert names(tmp_path / "pooled", *cells, over_seeds=True) == ["gan"]


def test_how_a_cell_is_measured_is_not_part_of_its_name(tmp_path: Path) -> None:
    cells = [cell(f"{name}-1", identity(name, recipe={"energy_seconds": n})) for n, name in enumerate(("gan", "vae"))]
    assert names(tmp_path, *cells) == ["gan", "vae"]
