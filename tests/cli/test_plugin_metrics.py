"""Metrics of plugins in runs: options, one spec for all extractors, names of others, failures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import warm
from command_line import TINY, Done

from genbench.results.store import RunDirectory

PLUGIN = Path(__file__).parents[1] / "support" / "metric_plugin.py"
GAN = (*TINY, "--models", "gan", "--set", "gan.width=8", "--plugin", str(PLUGIN), "--quiet")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Done:
    metrics = ("--metrics", "scatter,brightness,fd,weightless", "--set", "scatter.order=2")
    return warm.run(*GAN, *metrics, out=tmp_path_factory.mktemp("runs") / "run")


def test_one_spec_is_measured_with_every_default_extractor_under_its_options(measured: Done) -> None:
    (cell,) = measured.run_cells
    found = {estimate.metric: estimate for estimate in cell.estimates}
    assert list(found) == ["scatter-fashion-cnn", "brightness", "fd-fashion-cnn"]
    assert cell.identity.metric_options == {"scatter-fashion-cnn": {"order": 2.0}}
    assert found["scatter-fashion-cnn"].protocol["order"] == 2.0
    weights = found["fd-fashion-cnn"].protocol["weights_sha256"]
    assert found["scatter-fashion-cnn"].protocol["weights_sha256"] == weights
    assert str(found["brightness"].protocol["plugin"]).startswith("metric_plugin.py ")
    assert "plugin" not in found["fd-fashion-cnn"].protocol
    (reference,) = measured.references
    scatters = [one for row in reference.rows for one in row.estimates if one.metric == "scatter-fashion-cnn"]
    assert [one.protocol["order"] for one in scatters] == [2.0, 2.0]


def test_a_metric_without_weights_is_no_failure(measured: Done) -> None:
    (cell,) = measured.run_cells
    assert [(one.metric, one.reason, one.failed) for one in cell.unavailable] == [
        ("weightless", "fetch the weights", False)
    ]
    assert measured.code == 0
    assert "Failed" not in measured.err


def test_other_options_are_another_measurement_and_are_not_compared(measured: Done, tmp_path: Path) -> None:
    other = warm.run(*GAN, "--metrics", "scatter", out=tmp_path / "other")
    (cell,) = other.run_cells
    assert cell.identity.metric_options == {"scatter-fashion-cnn": {"order": 1.0}}
    assert cell.id != measured.run_cells[0].id
    table = warm.command("table", str(measured.run), str(other.run))
    assert "scatter-fashion-cnn: order differs (2.0, 1.0)" in " ".join(table.stdout.split())


def test_options_of_metrics_are_set_in_a_plan_file_and_shown_by_a_dry_run(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('metrics = ["scatter", "brightness"]\n[set.scatter]\norder = 3\n')
    shown = warm.command("run", *GAN[:-1], "--config", str(plan), "--metrics", "scatter,brightness", "--dry-run")
    assert "metrics: scatter-fashion-cnn (order = 3), brightness" in shown.stdout, shown.stderr
    listed = warm.command("list", "metrics", "--verbose", "--plugin", str(PLUGIN))
    assert "order: float ≥ 0 (default 1.0): order of the mean" in listed.stdout
    described = json.loads(warm.command("plugin", "show", "scatter", "--plugin", str(PLUGIN), "--json").stdout)
    assert described[0]["options"][0]["name"] == "order"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("scatter.ordre=2", "Unknown option scatter.ordre. Did you mean 'order'?"),
        ("scatter.order=-1", "scatter.order = -1 is out of range"),
        ("contrast.order=1", "'contrast' is not used in this run"),
    ],
)
def test_a_wrong_option_of_a_metric_is_refused(setting: str, said: str, tmp_path: Path) -> None:
    done = warm.run(*GAN, "--metrics", "scatter", "--set", setting, out=tmp_path / "run")
    assert done.code == 2
    assert said in done.err


def test_a_changed_metric_does_not_block_resuming_and_its_values_are_not_compared(tmp_path: Path) -> None:
    plugin = Path(shutil.copy(PLUGIN, tmp_path / "mine.py"))
    seeds = ("--plugin", str(plugin), "--seeds", "0,1", "--metrics", "brightness,scatter")
    done = warm.run(*GAN[:-3], *seeds, "--quiet", out=tmp_path / "run")
    directory = RunDirectory(done.run)
    first, second = (directory.cell_path(cell.id) for cell in done.record.cells)
    kept = first.read_bytes()
    second.unlink()  # as if the run had been interrupted
    plugin.write_text(PLUGIN.read_text() + "\n# a new version\n")
    refused = warm.run(out=tmp_path / "run", resume=True)
    assert (refused.code, "has changed since the run was planned" in refused.err) == (2, True)
    assert "name the changed file with --plugin" in " ".join(refused.err.split())
    resumed = warm.run("--plugin", str(plugin), out=tmp_path / "run", resume=True)
    assert resumed.code == 0, resumed.err
    assert "Note: the metric 'brightness' was planned with mine.py" in resumed.err
    assert first.read_bytes() == kept
    cells = {cell.id: cell for cell in resumed.run_cells}
    old, new = (cells[cell.id] for cell in done.record.cells)
    assert old.identity.metric_origins == new.identity.metric_origins
    assert old.estimates[0].protocol["plugin"] != new.estimates[0].protocol["plugin"]
    assert any(note.startswith("the metric 'brightness' was planned with mine.py") for note in new.notes)
    shown = " ".join(warm.command("table", str(done.run)).stdout.split())
    assert "not comparable: brightness: plugin differs (mine.py" in shown


def test_changed_options_or_a_metric_that_selects_weights(tmp_path: Path) -> None:
    plugin = Path(shutil.copy(PLUGIN, tmp_path / "mine.py"))
    metrics = ("--plugin", str(plugin), "--metrics", "scatter,brightness")
    selecting = ("--best-metric", "brightness", "--evaluate-every", "32")
    done = warm.run(*GAN[:-3], *metrics, "--quiet", out=tmp_path / "run")
    best = warm.run(*GAN[:-3], *metrics, *selecting, "--quiet", out=tmp_path / "best")
    for run in (done, best):
        RunDirectory(run.run).cell_path(run.record.cells[0].id).unlink()
    plugin.write_text(PLUGIN.read_text().replace("order", "power"))
    resumed = warm.run("--plugin", str(plugin), out=done.run, resume=True)
    (cell,) = resumed.run_cells
    assert (resumed.code, cell.status, [one.metric for one in cell.estimates]) == (5, "ok", ["brightness"])
    assert "its options have changed since it was planned: Unknown option scatter-fashion-cnn.order" in resumed.err
    refused = warm.run("--plugin", str(plugin), out=best.run, resume=True)
    assert refused.code == 2
    assert "The metric 'brightness' was planned with" in refused.err


def test_a_metric_that_raises_or_uses_the_name_of_another_fails_the_run_and_nothing_else(tmp_path: Path) -> None:
    done = warm.run(*GAN, "--metrics", "fd,crash,misnamed,brightness", out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "ok")
    assert [estimate.metric for estimate in cell.estimates] == ["fd-fashion-cnn", "brightness"]
    assert cell.estimates[0].value > 1
    assert [(one.metric, one.failed) for one in cell.unavailable] == [("crash", True), ("misnamed", True)]
    assert "Failed: the metric 'crash' failed for gan" in done.err
    assert "measure of 'crash' raised KeyError: 'no such key' (metric_plugin.py, line 32)" in done.err
    assert "an Estimate named 'fd-fashion-cnn'; expected 'misnamed'" in done.err
