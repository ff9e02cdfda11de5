"""The ends of the scale: the null of a perfect generator, real held-out images, and what lies suspiciously near."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from example_runs import cell, changed, comparability, estimate, identity, reference, stored

from genbench.api.evaluation import Estimate, Unavailable
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import Table
from genbench.report.table.references import (
    INDISTINGUISHABLE,
    NULL,
    PERFECT,
    TOO_GOOD,
)
from genbench.report.table.render import render
from genbench.results.schema import CellResult, Durations, ReferenceRow


def fd(value: float, error: float | None = 0.1, null: float | None = 0.7, **changes: object) -> Estimate:
    return estimate("fd-cnn", value, error, null=null, **changes)


def scored(id: str, *estimates: Estimate, seed: int = 0, dataset: str = "mini") -> CellResult:
    return cell(id, identity(id.partition("-")[0], seed=seed, dataset=dataset), estimates=list(estimates))


def held_out(value: float, error: float | None, **changes: object) -> tuple[object, ...]:
    rows = [ReferenceRow(name="real held-out", estimates=[fd(value, error, **changes)])]
    return (reference(rows=rows),)


def names(table: Table) -> list[str]:
    return [row.values["model"].text for row in table.rows]


def said(table: Table, row: int, key: str = "fd-cnn") -> list[str]:
    return [text for mark, text in table.footnotes if mark in table.rows[row].values[key].marks]


def test_the_null_that_the_cells_state_is_a_row_before_the_stored_ones(tmp_path: Path) -> None:
    psnr = estimate("psnr", 20.0, direction="higher")
    run = stored(
        tmp_path / "run", scored("gan-1", fd(34.0), psnr), scored("vae-1", fd(30.0)), references=(reference(),)
    )
    table = make_table(run.read())
    assert names(table) == ["gan", "vae", PERFECT, "real held-out", "noise"]
    assert table.rows[2].values["fd-cnn"].text == "0.7000"
    assert "psnr" not in table.rows[2].values  # nobody knows its null
    assert said(table, 2, "model") == [NULL]
    assert table.rows[2].kind == "reference"


def test_results_without_a_null_have_no_such_row(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), references=(reference(),))
    assert names(make_table(run.read())) == ["gan", "real held-out", "noise"]
    assert "null" not in render(make_table(run.read()), "csv")


def test_each_dataset_has_its_own_null_also_without_stored_rows(tmp_path: Path) -> None:
    other = scored("gan-2", fd(30.0, null=5.0), dataset="other")
    run = stored(tmp_path / "run", scored("gan-1", fd(34.0)), other, references=(reference(),))
    table = make_table(run.read())
    assert names(table) == ["gan", "gan", PERFECT, "real held-out", "noise", PERFECT]
    assert [table.rows[n].values["fd-cnn"].raw for n in (2, 5)] == [0.7, 5.0]
    assert [table.rows[n].values["dataset"].text for n in (2, 5)] == ["mini", "other"]


def test_nulls_that_differ_by_more_than_rounding_are_named_and_not_shown(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", scored("gan-1", fd(34.0)), scored("vae-1", fd(30.0, null=1.4, n=1000)))
    table = make_table(run.read())
    assert table.rows[2].values["fd-cnn"].text == "n/a"
    assert said(table, 2) == ["fd-cnn: the null differs between cells: 0.7000 for 2,000 images, 1.400 for 1,000 images"]
    close = make_table(
        stored(tmp_path / "close", scored("gan-1", fd(34.0)), scored("vae-1", fd(3.0, null=0.70001))).read()
    )
    assert close.rows[2].values["fd-cnn"].text == "0.7000"


def test_raw_formats_carry_debiased_and_null_beside_each_estimate(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", scored("gan-1", fd(34.0, debiased=33.5)), scored("vae-1", estimate("fd-cnn", 9.0)))
    table = make_table(run.read())
    first, second, _ = json.loads(render(table, "json"))["rows"]
    assert first["fd-cnn"] == {"value": 34.0, "standard_error": 0.1, "debiased": 33.5, "null": 0.7}
    assert second["fd-cnn"] == {"value": 9.0, "standard_error": 0.5, "debiased": None, "null": None}
    row = next(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert (row["fd-cnn debiased"], row["fd-cnn null"]) == ("33.5", "0.7")


@pytest.mark.parametrize(
    ("value", "error", "notes"),
    [
        (34.0, 0.1, []),
        (0.85, 0.1, [INDISTINGUISHABLE]),  # 0.7 + 2 · 0.1 is more than that
        (0.95, 0.1, []),
        (0.85, None, []),  # nobody knows
        (0.2, 0.1, [TOO_GOOD.format("a perfect generator")]),
    ],
)
def test_a_value_near_its_null_is_marked(tmp_path: Path, value: float, error: float | None, notes: list[str]) -> None:
    table = make_table(stored(tmp_path / "run", scored("gan-1", fd(value, error))).read())
    assert said(table, 0) == notes


def test_a_value_that_beats_real_images_is_marked(tmp_path: Path) -> None:
    cells = [scored("gan-1", fd(0.9, 0.03)), scored("vae-1", fd(1.15, 0.03))]
    table = make_table(stored(tmp_path / "run", *cells, references=held_out(1.2, 0.04)).read())
    assert said(table, 0) == [TOO_GOOD.format("real held-out images")]
    assert said(table, 1) == []
    assert "memorised training images" in render(table, "github")


def test_real_images_of_another_number_are_no_bar(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", scored("gan-1", fd(1.0, 0.03)), references=held_out(4.0, 0.04, n=500))
    assert said(make_table(run.read()), 0) == []


def test_what_differs_for_several_metrics_of_a_row_is_one_footnote(tmp_path: Path) -> None:
    """And so is a reason that several metrics share."""
    metrics = ("fd-cnn", "kd-cnn", "sw-cnn")
    cells = scored("gan-1", *(estimate(metric, 1.0, 0.1) for metric in metrics))
    missing = [Unavailable(metric, "it needs a model") for metric in ("elbo", "rate")]
    measured = [estimate(metric, 2.0, 0.1, n=500) for metric in metrics]
    row = ReferenceRow(name="real held-out", estimates=measured, unavailable=missing)
    table = make_table(stored(tmp_path / "run", cells, references=(reference(rows=[row]),)).read())
    place = names(table).index("real held-out")
    said_of = {metric: said(table, place, metric) for metric in metrics}
    assert len({tuple(texts) for texts in said_of.values()}) == 1
    (text,) = said_of["fd-cnn"]
    assert text.startswith("real held-out, fd-cnn, kd-cnn, sw-cnn: images is 500, not ")
    assert said(table, place, "elbo") == said(table, place, "rate") == ["elbo, rate: it needs a model"]


def test_where_higher_is_better_the_scale_is_turned(tmp_path: Path) -> None:
    up = {"direction": "higher", "null": 0.9}
    rows = [ReferenceRow(name="real held-out", estimates=[estimate("coverage", 0.8, 0.01, **up)])]
    cells = [cell(f"{m}-1", estimates=[estimate("coverage", v, 0.01, **up)]) for m, v in (("gan", 0.85), ("vae", 0.5))]
    table = make_table(stored(tmp_path / "run", *cells, references=(reference(rows=rows),)).read())
    assert said(table, 0, "coverage") == [TOO_GOOD.format("real held-out images")]
    assert said(table, 1, "coverage") == []


def test_over_seeds_the_mean_is_placed_on_the_scale_by_the_error_over_seeds(tmp_path: Path) -> None:
    cells = [
        scored(f"gan-s{seed}", fd(value, debiased=value - 0.5), seed=seed) for seed, value in enumerate((0.8, 1.6))
    ]
    run = stored(tmp_path / "run", *cells)
    alone, pooled = make_table(run.read()), make_table(run.read(), over_seeds=True)
    assert (said(alone, 0), said(alone, 1)) == ([INDISTINGUISHABLE], [])
    assert said(pooled, 0) == [INDISTINGUISHABLE]  # 1.2 ± 0.4
    assert pooled.rows[0].values["fd-cnn"].parts == pytest.approx({"standard_error": 0.4, "debiased": 0.7, "null": 0.7})
    far = [changed(result, estimates=[fd(value)]) for result, value in zip(cells, (30.0, 30.2), strict=True)]
    assert said(make_table(stored(tmp_path / "far", *far).read(), over_seeds=True), 0) == []


def test_time_is_divided_into_training_and_evaluation(tmp_path: Path) -> None:
    spent = Durations(load=1.0, train=50.0, evaluate=4.0, evaluate_between=20.0, total=60.0)  # on the way: in `train`
    (row,) = make_table(stored(tmp_path / "run", cell("gan-1", durations=spent)).read()).rows
    assert [row.values[key].raw for key in ("time", "training time", "evaluation time")] == [60.0, 30.0, 24.0]


def test_parameters_are_all_of_them_with_how_many_are_trained(tmp_path: Path) -> None:
    part = cell("gan-1", total_parameters={"generator": 3_000_000, "discriminator": 1_576_704})
    whole = cell("vae-1", total_parameters={"generator": 3_000_000, "discriminator": 576_704})
    old = cell("old-1", frozen=["discriminator.0.weight"])
    table = make_table(stored(tmp_path / "run", part, whole, old).read())
    assert [row.values["parameters"].text for row in table.rows] == ["4.58 M (3.58 M trained)", "3.58 M", "3.58 M"]
    assert table.rows[0].values["parameters"].raw == 4_576_704
    assert said(table, 2, "parameters") == ["parameters: without the frozen ones"]


def test_machines_that_differ_are_marked_on_evaluation_time_too(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1", comparability=comparability(machine="Intel Xeon")))
    assert all("†" in row.values["evaluation time"].marks for row in make_table(run.read()).rows)


UNSUITED = "fd-cnn does not suit mini: real held-out images score 1.25 ± 0.10, a perfect generator 0.7000"


@pytest.mark.parametrize(
    ("value", "error", "null", "unsuited"),
    [
        (1.25, 0.1, 0.7, True),
        (1.25, 0.3, 0.7, False),  # within two standard errors of the null
        (1.0, 0.01, 0.7, False),  # 1.4 times the null, as on the data that the features were made for
        (1.25, None, 0.7, False),
        (1.25, 0.1, 0.0, False),  # not a distance whose null is its bias
        (1.25, 0.1, None, False),
    ],
)
def test_a_distance_that_does_not_suit_the_data_is_named_in_the_caption(
    tmp_path: Path, value: float, error: float | None, null: float | None, unsuited: bool
) -> None:
    run = stored(tmp_path / "run", scored("gan-1", fd(34.0, null=null)), references=held_out(value, error, null=null))
    table = make_table(run.read())
    assert (UNSUITED in table.caption) is unsuited
    assert ("does not suit" in render(table, "github")) is unsuited
