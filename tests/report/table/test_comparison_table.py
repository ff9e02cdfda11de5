"""The table shows every planned cell, hides no failure, and marks what does not compare."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from example_runs import cell, changed, choice, comparability, estimate, identity, reference, stored

from genbench.api.evaluation import Unavailable
from genbench.api.recipe import RECIPE_FIELDS
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import DAGGER, Table
from genbench.report.table.render import FORMATS, render
from genbench.results.schema import PlannedCell, Proof
from genbench.results.store import read_runs


def shown(table: Table) -> list[str]:
    return [column.key for column in table.columns if column.shown]


def texts(table: Table, key: str) -> list[str]:
    return [row.values[key].text if key in row.values else "–" for row in table.rows]


def notes_at(table: Table, row: int, key: str) -> list[str]:
    listing = dict(table.footnotes)
    return [listing[mark] for mark in table.rows[row].values[key].marks]


def test_what_rows_share_is_in_the_caption_and_what_differs_is_a_column(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1", identity("vae", "elbo")))
    table = make_table(run.read())
    assert shown(table) == [
        "model", "loss", "status", "images/s", "parameters", "peak memory", "fd-cnn", "time", "evaluation time",
    ]  # fmt: skip
    assert table.caption == (
        "mini · 1×28×28 · cpu · AMD EPYC · 2 cores · 2 threads · fp32 · eager · batch 32 · 60,000 images"
        " · torch 2.15 · Python 3.12 · genbench 0.1.0 · seed 0"
        " · n = 1 training seed: metric errors cover sampling noise only"
    )


def test_seeds_that_differ_are_a_column_of_numbers(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", *(cell(f"gan-{seed}", identity(seed=seed)) for seed in (0, 1, 2)))
    table = make_table(run.read())
    assert texts(table, "seed") == ["0", "1", "2"]
    assert "seed" in shown(table)
    assert "seed" not in table.caption
    assert "non-saturating" in table.caption


def test_rows_that_look_alike_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    wide = changed(identity(), model=choice("gan", width=128))
    fast = identity(recipe={"learning_rate": 1e-3})
    other = identity("vae", recipe={"learning_rate": 5e-5})
    run = stored(tmp_path / "run", cell("gan-1"), cell("gan-2", wide), cell("gan-3", fast), cell("vae-1", other))
    table = make_table(run.read())
    assert "gan.width" in shown(table)
    assert texts(table, "learning_rate") == ["0.0002", "0.0002", "0.001", "5e-05"]
    alone = make_table(stored(tmp_path / "alone", cell("gan-1"), cell("vae-1", other)).read())
    assert "learning_rate" not in shown(alone)  # the models tell them apart


def test_every_planned_cell_has_a_row_whatever_came_of_it(tmp_path: Path) -> None:
    never = PlannedCell(id="never-1", identity=identity("never"))
    impossible = PlannedCell(id="big-1", identity=identity("big"), reason="28 pixels are too few")
    failed = cell("bad-1", status="diverged", reason="loss became NaN\nat step 40", estimates=[], throughput=None)
    run = stored(tmp_path / "run", cell("gan-1"), failed, cell("cut-1"), never, impossible)
    run.cell_path("cut-1").write_bytes(b'{"schema_version": 1, "id": "cu')
    table = make_table(run.read())
    assert texts(table, "model") == ["gan", "bad", "cut", "never", "big"]
    assert texts(table, "status") == ["ok", "diverged", "damaged", "not run", "not run"]
    assert notes_at(table, 1, "status") == ["diverged: loss became NaN at step 40"]
    assert "cells/cut-1.json" in notes_at(table, 2, "status")[0]
    assert notes_at(table, 4, "status") == ["not run: 28 pixels are too few"]


def test_speed_without_proof_of_training_is_not_shown(tmp_path: Path) -> None:
    still = Proof(trained=False, unmoved=["generator.0.weight", "generator.0.bias"])
    run = stored(tmp_path / "run", cell("gan-1"), cell("fake-1", proof=still), cell("none-1", proof=None))
    table = make_table(run.read())
    assert texts(table, "images/s") == ["1,234 ±2%", "n/a", "n/a"]
    assert table.rows[1].values["images/s"].raw is None
    assert "generator.0.weight, generator.0.bias never changed" in notes_at(table, 1, "images/s")[0]
    assert "no evidence that these steps trained the model" in notes_at(table, 2, "images/s")[0]


def test_synthetic_data_are_labelled_in_caption_and_column(tmp_path: Path) -> None:
    asked = identity(dataset="synthetic")
    made_up = cell("gan-1", asked, synthetic_data=True, estimates=[])
    both = make_table(stored(tmp_path / "both", made_up, cell("gan-2")).read())
    assert texts(both, "dataset") == ["synthetic: speed only", "mini"]
    alone = make_table(stored(tmp_path / "alone", made_up).read())
    assert "synthetic: speed only" in alone.caption
    planned = make_table(stored(tmp_path / "plan", PlannedCell(id="gan-1", identity=asked, synthetic_data=True)).read())
    assert "synthetic: speed only" in planned.caption


def test_a_distinct_reason_is_written_once(tmp_path: Path) -> None:
    missing = [Unavailable("fid", "the weights are not here")]
    run = stored(tmp_path / "run", cell("gan-1", unavailable=missing), cell("vae-1", unavailable=missing))
    table = make_table(run.read())
    assert texts(table, "fid") == ["n/a", "n/a"]
    assert [text for _, text in table.footnotes] == ["fid: the weights are not here"]
    assert table.rows[0].values["fid"].marks == table.rows[1].values["fid"].marks == ("1",)


def test_reference_rows_stand_at_the_end_per_dataset(tmp_path: Path) -> None:
    run = stored(
        tmp_path / "run",
        cell("gan-1"),
        cell("gan-2", identity(dataset="other")),
        references=(reference("mini"), reference("other")),
    )
    table = make_table(run.read())
    assert texts(table, "model") == ["gan", "gan", "real held-out", "noise", "real held-out", "noise"]
    assert texts(table, "dataset") == ["mini", "other", "mini", "mini", "other", "other"]
    assert texts(table, "fd-cnn")[2:4] == ["1.250 ± 0.043", "912.3 ± 4.1"]
    twice = make_table(*read_runs([run.path, run.path]))
    assert len([row for row in twice.rows if row.kind == "reference"]) == 4


def test_what_only_reference_rows_lack_is_no_column(tmp_path: Path) -> None:
    rows = reference()
    noise = changed(rows.rows[1], unavailable=[Unavailable("per-class-fashion-cnn", "the samples have no classes")])
    run = stored(tmp_path / "run", cell("gan-1"), references=(changed(rows, rows=[noise]),))
    assert "per-class-fashion-cnn" not in shown(make_table(run.read()))


def test_a_reference_with_another_count_of_images_says_so(tmp_path: Path) -> None:
    rows = reference()
    fewer = changed(rows.rows[0], estimates=[estimate("fd-cnn", 1.25, 0.04, n=500)])
    run = stored(tmp_path / "run", cell("gan-1"), references=(changed(rows, rows=[fewer]),))
    assert notes_at(make_table(run.read()), 1, "fd-cnn") == ["real held-out, fd-cnn: images is 500, not 2,000"]


def test_protocols_that_differ_are_marked_on_every_value_of_that_data(tmp_path: Path) -> None:
    other = estimate("fd-cnn", 30.0, protocol={"weights": "beef", "n_reference": 8000})
    run = stored(
        tmp_path / "run",
        cell("gan-1"),
        cell("vae-1", estimates=[other]),
        cell("gan-2", identity(dataset="other")),
    )
    table = make_table(run.read())
    assert [row.values["fd-cnn"].marks for row in table.rows] == [(DAGGER,), (DAGGER,), ()]
    assert texts(table, "fd-cnn")[:2] == ["34.57 ± 0.65", "30.00 ± 0.50"]  # they stay visible
    assert (DAGGER, "not comparable: fd-cnn: weights differs (1f0c, beef)") in table.footnotes


def test_machines_that_differ_are_marked_on_speed_only(tmp_path: Path) -> None:
    first = stored(tmp_path / "monday", cell("gan-1"))
    second = stored(tmp_path / "tuesday", cell("gan-1", comparability=comparability(machine="Intel Xeon")))
    table = make_table(*read_runs([first.path, second.path]))
    assert shown(table)[:2] == ["run", "model"]
    assert texts(table, "machine") == ["AMD EPYC", "Intel Xeon"]
    assert DAGGER in table.rows[0].values["images/s"].marks
    assert DAGGER in table.rows[0].values["time"].marks
    assert table.rows[0].values["fd-cnn"].marks == ()
    assert any("machine differs (AMD EPYC, Intel Xeon)" in text for mark, text in table.footnotes if mark == DAGGER)


@pytest.mark.parametrize("unknown", ["aarch64", "unknown", ""])
def test_machines_that_are_not_known_are_not_equal(unknown: str, tmp_path: Path) -> None:
    facts = comparability(machine=unknown)
    first = stored(tmp_path / "monday", cell("gan-1", comparability=facts), cell("vae-1", comparability=facts))
    assert not any(mark == DAGGER for mark, _ in make_table(first.read()).footnotes)  # one run has one machine
    second = stored(tmp_path / "tuesday", cell("gan-1", comparability=facts))
    table = make_table(*read_runs([first.path, second.path]))
    assert any("machine differs (unknown in monday, unknown in tuesday)" in text for _, text in table.footnotes)
    assert DAGGER in table.rows[0].values["images/s"].marks


def test_a_precision_chosen_on_purpose_is_a_column_and_no_conflict(tmp_path: Path) -> None:
    half = cell("gan-2", identity(recipe={"precision": "bf16"}), comparability=comparability(precision="bf16"))
    table = make_table(stored(tmp_path / "run", cell("gan-1"), half).read())
    assert texts(table, "precision") == ["fp32", "bf16"]
    assert table.footnotes == ()


def test_the_same_dataset_with_other_pixels_does_not_compare(tmp_path: Path) -> None:
    other = cell("vae-1", comparability=comparability(data_hash="e" * 64))
    table = make_table(stored(tmp_path / "run", cell("gan-1"), other).read())
    assert any("data hash differs" in text for _, text in table.footnotes)


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    nasty = cell("gan-1", status="failed", reason="\x1b[2J\x07boom\r\n\u202etxt")
    table = make_table(stored(tmp_path / "run", nasty).read())
    assert notes_at(table, 0, "status") == ["failed: [2J boom txt"]


def test_what_a_sample_costs_is_shown_where_it_is_more_than_an_image_of_training(tmp_path: Path) -> None:
    costs = {"flops_per_image": 5e6, "samples_per_second": 2345.6}
    gan = cell("gan-1", flops_per_sample=1.5e6, **costs)
    cheap = make_table(*read_runs([stored(tmp_path / "one", gan).path]))
    hidden = {column.key: column for column in cheap.columns}
    assert not hidden["FLOP/sample"].shown
    assert hidden["FLOP/sample"].exported
    diffusion = cell("diffusion-1", flops_per_sample=58e6, **costs)
    table = make_table(*read_runs([stored(tmp_path / "two", gan, diffusion).path]))
    assert {"FLOP/sample", "samples/s"} <= {column.key for column in table.columns if column.shown}
    assert [row.values["FLOP/sample"].text for row in table.rows] == ["1.50 M", "58.0 M"]
    assert table.rows[0].values["samples/s"].text == "2,346"


def test_a_remark_is_a_footnote_of_its_value_and_decides_no_comparison(tmp_path: Path) -> None:
    exact, bound = (estimate("elbo", value, remark=remark) for value, remark in ((-5.0, "exact"), (-6.0, "a bound")))
    run = stored(tmp_path / "run", cell("flow-1", estimates=[exact]), cell("vae-1", estimates=[bound]))
    table = make_table(run.read())
    notes = dict(table.footnotes)
    assert [[notes[mark] for mark in row.values["elbo"].marks] for row in table.rows] == [["exact"], ["a bound"]]
    seeds = [cell(f"vae-s{seed}", identity("vae", seed=seed), estimates=[bound]) for seed in (0, 1)]
    pooled = make_table(stored(tmp_path / "seeds", *seeds).read(), over_seeds=True)
    assert [text for _, text in pooled.footnotes] == ["a bound"]


def test_settings_do_not_vanish_once_images_or_the_batch_differ(tmp_path: Path) -> None:
    wide = changed(identity(recipe={"images": 30_000, "learning_rate": 1e-3}), model=choice("gan", width=128))
    run = stored(tmp_path / "run", cell("gan-1"), cell("gan-2", wide))
    table = make_table(run.read())
    assert {"images", "learning_rate", "gan.width"} <= set(shown(table))


def test_what_a_plan_changes_is_in_the_caption_of_a_single_cell(tmp_path: Path) -> None:
    planned = PlannedCell(id="gan-1", identity=identity(), changed=["gan.width", "latent_dim"])
    run = stored(tmp_path / "run", planned)
    run.write_cell(cell("gan-1"))
    caption = make_table(run.read()).caption
    assert "gan.width = 64" in caption and "latent_dim = 100" in caption
    assert "gan.width" not in make_table(stored(tmp_path / "default", cell("gan-1")).read()).caption


def test_what_only_models_differ_in_is_a_footnote(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1", identity("vae", recipe={"learning_rate": 1e-3})))
    table = make_table(run.read())
    assert notes_at(table, 1, "model") == ["vae: learning_rate = 0.001, not 0.0002"]
    pooled = make_table(run.read(), over_seeds=True)
    assert notes_at(pooled, 1, "model") == ["vae: learning_rate = 0.001, not 0.0002"]


@pytest.mark.parametrize("over_seeds", [False, True])
def test_raw_formats_have_every_setting_of_every_row(tmp_path: Path, over_seeds: bool) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1", identity("vae", "elbo")))
    table = make_table(run.read(), over_seeds=over_seeds)
    for row in table.rows:
        wanted = row.cells[0].settings.keys() - ({"seed"} if over_seeds else set())
        assert wanted <= {column.key for column in table.columns if column.exported}
    header = render(table, "csv").splitlines()[0].split(",")
    assert {"gan.width", "vae.width", "learning_rate", "latent_dim", "elbo plugin", "profile"} <= set(header)
    assert {*RECIPE_FIELDS} <= set(header)
    assert render(table, "plain", columns=["model", "init_from"])  # empty in both


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("over_seeds", [False, True])
def test_a_value_that_is_not_finite_is_shown_but_not_sorted_averaged_or_ranked(
    tmp_path: Path, value: float, over_seeds: bool
) -> None:
    good = [cell(f"gan-{s}", identity(seed=s), estimates=[estimate("fd-cnn", 10.0 + s)]) for s in (0, 1)]
    bad = [cell(f"vae-{s}", identity("vae", seed=s), estimates=[estimate("fd-cnn", value)]) for s in (0, 1)]
    run = stored(tmp_path / "run", *good, *bad).read()
    for result in bad:  # in memory: a file with such a number is damaged
        run.cells.damaged.pop(result.id, None)
        run.cells.results[result.id] = result
    table = make_table(run, over_seeds=over_seeds)
    for format in FORMATS:
        for sort in ("fd-cnn", "-fd-cnn"):
            assert "vae" in render(table, format, sort)
    assert [row.values["fd-cnn"].raw for row in table.rows if "vae" in row.id] == [None] * (1 if over_seeds else 2)
    assert not any(row.values["fd-cnn"].best for row in table.rows)
    shown = {row.values["fd-cnn"].text for row in table.rows if "vae" in row.id}
    assert shown == {f"{value:g}"}


def test_one_cell_alone_has_no_best_value_and_no_cell_at_all_a_table(tmp_path: Path) -> None:
    alone = make_table(stored(tmp_path / "one", cell("gan-1")).read())
    assert not alone.best and not any(value.best for row in alone.rows for value in row.values.values())
    planned = make_table(stored(tmp_path / "none", PlannedCell(id="gan-1", identity=identity())).read())
    for format in FORMATS:
        assert "not run" in render(planned, format)
