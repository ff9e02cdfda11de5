"""Curves of many cells: what may share an axis, and how seeds are pooled."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_runs import PROTOCOL, cell, estimate, identity, stored

from genbench.errors import UsageError
from genbench.report.charts.curve_panels import CurvePanel, curve_panels
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import CellResult, EvaluationPoint


def panels(path: Path, *cells: CellResult, of: tuple[str, ...] = (), over_seeds: bool = False) -> list[CurvePanel]:
    return curve_panels(make_table(stored(path / "run", *cells).read(), over_seeds=over_seeds), of)


def evaluated(id: str, **changes: object) -> CellResult:
    protocol = changes.pop("protocol", PROTOCOL)
    points = [
        EvaluationPoint(step=n, images=32 * n, estimates=[estimate("fd-cnn", 50.0 - n, protocol=protocol)])
        for n in (5, 10)
    ]
    final = [estimate("fd-cnn", 20.0, protocol=protocol)]
    return cell(id, evaluations=points, estimates=final, **changes)


def test_without_metrics_during_training_the_losses_are_shown(tmp_path: Path) -> None:
    found = panels(tmp_path, cell("gan-1"), cell("vae-1", identity("vae")))
    assert [panel.quantity for panel in found] == ["discriminator", "generator"]
    assert [[line.row for line in panel.lines] for panel in found] == [[0, 1], [0, 1]]


def test_metrics_during_training_come_first_with_their_direction(tmp_path: Path) -> None:
    (panel,) = panels(tmp_path, evaluated("gan-1"))
    assert (panel.quantity, panel.direction, panel.condition) == ("fd-cnn", "lower", "")


def test_another_protocol_or_loss_gets_another_panel(tmp_path: Path) -> None:
    other = evaluated("vae-1", asked=identity("vae"), protocol={"weights": "ffff", "n_reference": 8000})
    first, second = panels(tmp_path, evaluated("gan-1"), other)
    assert (first.condition, second.condition) == ("weights 1f0c", "weights ffff")
    hinge = cell("dcgan-1", identity("dcgan", "hinge"))
    found = panels(tmp_path / "losses", cell("gan-1"), hinge, of=("generator",))
    assert [panel.condition for panel in found] == ["loss non-saturating", "loss hinge"]


def test_seeds_are_a_mean_or_shown_one_by_one_if_they_share_no_points(tmp_path: Path) -> None:
    cells = [evaluated(f"gan-{seed}", asked=identity(seed=seed)) for seed in (0, 1)]
    (panel,) = panels(tmp_path, *cells, over_seeds=True)
    (curve,) = panel.lines[0].curves
    assert curve.seeds == 2


def test_an_unknown_quantity_has_its_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'generator'"):
        panels(tmp_path, cell("gan-1"), of=("generatr",))
