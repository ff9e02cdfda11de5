"""A quantity against a swept setting: lines, order, and settings that change together."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_runs import cell, estimate, identity, plan

from genbench.errors import UsageError
from genbench.report.charts.swept_quantity import SweptQuantity, find_quantity, find_swept, swept_quantity
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import CellResult
from genbench.results.store import RunDirectory


def swept(path: Path, *cells: CellResult, names: list[str], x: str = "", y: str = "") -> SweptQuantity:
    run = RunDirectory.create(path / "run", plan(*cells, swept=names))
    for one in cells:
        run.write_cell(one)
    table = make_table(run.read())
    return swept_quantity(table, find_swept(table, x, names), find_quantity(table, y), names)


def made(model: str, batch: int, **recipe: object) -> CellResult:
    asked = identity(model, recipe={"batch_size": batch, **recipe})
    return cell(f"{model}-{batch}", asked, speed=10.0 * batch, estimates=[estimate("fd-cnn", float(batch), 1.0)])


def test_each_model_is_a_line_in_the_order_of_the_setting(tmp_path: Path) -> None:
    cells = [made(model, batch) for model in ("gan", "vae") for batch in (64, 16, 32)]
    found = swept(tmp_path, *cells, names=["batch_size"])
    (panel,) = found.panels
    assert (found.setting.key, found.quantity.key) == ("batch_size", "images/s")
    assert [line.name for line in panel.lines] == ["gan", "vae"]
    assert [point.at for point in panel.lines[0].points] == [16, 32, 64]
    assert [point.value for point in panel.lines[0].points] == [160, 320, 640]
    assert panel.lines[0].points[0].interval == pytest.approx((156.8, 161.6))


def test_paired_settings_change_together(tmp_path: Path) -> None:
    cells = [made("gan", batch, learning_rate=rate) for batch, rate in ((16, 1e-4), (32, 2e-4), (64, 4e-4))]
    found = swept(tmp_path, *cells, names=["batch_size", "learning_rate"], y="fd-cnn")
    assert found.follows == ("learning_rate",)
    assert [len(line.points) for panel in found.panels for line in panel.lines] == [3]


def test_a_setting_of_names_keeps_their_order(tmp_path: Path) -> None:
    cells = [cell(f"gan-{name}", identity(loss=name)) for name in ("wgan", "hinge")]
    found = swept(tmp_path, *cells, names=[], x="loss")
    assert [point.at for point in found.panels[0].lines[0].points] == ["wgan", "hinge"]


@pytest.mark.parametrize(
    ("x", "y", "cause"),
    [
        ("batch_siz", "", "Did you mean 'batch_size'"),
        ("learning_rate", "", "No quantity 'learning_rate' has several values"),
        ("", "images/", "Did you mean 'images/s'"),
    ],
)
def test_unknown_names_have_their_nearest(tmp_path: Path, x: str, y: str, cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        swept(tmp_path, made("gan", 16), made("gan", 32), names=["batch_size"], x=x, y=y)


def test_nothing_that_differs_cannot_be_swept(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No setting has several values"):
        swept(tmp_path, cell(), names=[])
