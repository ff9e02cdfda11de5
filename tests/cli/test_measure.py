"""`genbench measure`: further metrics of finished runs, from their weights and with provenance; nothing is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import warm
from command_line import FAULTS, TINY, Done

from genbench import Estimate
from genbench.results.run_lock import hold
from genbench.results.schema import CellResult
from genbench.results.store import RunDirectory

PLUGIN = Path(__file__).parents[1] / "support" / "metric_plugin.py"
SMALL = ("--set", "gan.width=8", "--set", "cvae.hidden=16")
PLANNED = "fd,reconstruction-mse,elbo"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Done:
    models = ("--models", "gan,cvae", *SMALL, "--ema-half-life", "32", "--precision", "bf16", "--dropout", "0.1")
    done = warm.run(*TINY, *models, "--metrics", PLANNED, "--quiet", out=tmp_path_factory.mktemp("runs") / "run")
    assert done.code == 0, done.err
    return done


@pytest.fixture
def run(trained: Done, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.run, tmp_path / "run"))


def measure(run: Path, *arguments: str) -> CompletedProcess[str]:
    return warm.command("measure", str(run), *arguments, "--in-process", "--plugin", str(PLUGIN))


def cells(run: Path) -> dict[str, CellResult]:
    return {cell.identity.model.name: cell for cell in RunDirectory(run).read_cells().results.values()}


def values(cell: CellResult) -> dict[str, Estimate]:
    return {estimate.metric: estimate for estimate in cell.estimates}


def test_the_stored_weights_give_the_very_numbers_of_the_run(run: Path) -> None:
    before = cells(run)
    done = measure(run, "--metrics", PLANNED, "--again")
    assert done.returncode == 0, done.stderr
    for model, cell in cells(run).items():
        assert cell.estimates == before[model].estimates
        assert (cell.id, cell.identity) == (before[model].id, before[model].identity)
        (later,) = cell.measured_later
        assert later.metrics == ["fd-fashion-cnn", *(["reconstruction-mse", "elbo"] if model == "cvae" else [])]


def test_new_metrics_are_added_with_provenance_and_the_table_shows_them(run: Path) -> None:
    before = cells(run)
    done = measure(run, "--metrics", "scatter,brightness,sharpness", "--set", "scatter.order=2")
    assert done.returncode == 0, done.stderr
    assert "[1/2] gan · non-saturating · fashion-mnist-mini · seed 0: measuring scatter-fashion-cnn" in done.stderr
    assert "seed 0: sharpness cannot be measured for its family and dataset" in done.stderr
    for model, cell in cells(run).items():
        new = values(cell)
        assert {name: new[name] for name in values(before[model])} == values(before[model])
        assert new["scatter-fashion-cnn"].protocol["order"] == 2.0
        assert cell.provenance == before[model].provenance
        (later,) = cell.measured_later
        assert later.metrics[:2] == ["scatter-fashion-cnn", "brightness"]
        assert later.metric_origins["brightness"].distribution == "metric_plugin.py"
        assert later.metric_options == {"scatter-fashion-cnn": {"order": 2.0}}
        assert later.genbench
        assert later.measured.startswith("20")
    (reference,) = RunDirectory(run).read_references().results.values()
    for row in reference.rows:
        assert {"scatter-fashion-cnn", "fd-fashion-cnn"} <= {estimate.metric for estimate in row.estimates}
    for text in (done.stdout, (run / "table.md").read_text(), (run / "report.html").read_text()):
        assert "scatter-fashion-cnn" in text
    gan = next(iter(cells(run).values()))
    shown = warm.command("show", str(run), "--cell", gan.id).stdout
    assert f"measured after the run, on {gan.measured_later[0].measured}, with genbench " in shown
    again = measure(run, "--metrics", "brightness", "--again")
    assert again.returncode == 0
    assert [len(cell.measured_later) for cell in cells(run).values()] == [2, 2]


def test_a_value_is_not_replaced_unless_asked_for(run: Path) -> None:
    measure(run, "--metrics", "scatter", "--quiet")
    before = cells(run)
    done = measure(run, "--metrics", "scatter", "--set", "scatter.order=2")
    assert "scatter-fashion-cnn has values of other options; --again replaces what has a value" in done.stderr
    assert "nothing to measure; --again replaces" in measure(run, "--metrics", "scatter").stderr
    assert cells(run) == before
    measure(run, "--metrics", "scatter", "--set", "scatter.order=2", "--again", "--quiet")
    for model, cell in cells(run).items():
        assert values(cell)["scatter-fashion-cnn"].protocol["order"] == 2.0
        assert values(cell)["scatter-fashion-cnn"].value != values(before[model])["scatter-fashion-cnn"].value


def test_a_metric_that_fails_is_told_and_replaces_nothing(run: Path) -> None:
    before = cells(run)
    done = measure(run, "--metrics", "crash,misnamed,brightness,weightless", "--quiet")
    assert done.returncode == 5
    assert "measure of 'crash' raised KeyError: 'no such key' (metric_plugin.py, line 32)" in done.stderr
    assert "named 'fd-fashion-cnn'; expected 'misnamed'" in done.stderr
    for model, cell in cells(run).items():
        assert {**values(before[model]), "brightness": values(cell)["brightness"]} == values(cell)
        assert [one.metric for one in cell.unavailable[-3:]] == ["crash", "misnamed", "weightless"]


def test_a_cell_without_weights_is_named_and_the_others_are_measured(run: Path) -> None:
    gan = cells(run)["gan"]
    RunDirectory(run).checkpoint_path(gan.id).unlink()
    done = measure(run, "--metrics", "brightness", "--quiet")
    assert done.returncode == 5
    assert "Failed: [1/2] gan" in done.stderr
    assert "it has no weights; its status is 'ok'" in done.stderr
    assert "brightness" in values(cells(run)["cvae"])
    assert cells(run)["gan"] == gan


def test_other_images_than_those_trained_on_are_refused(run: Path) -> None:
    directory = RunDirectory(run)
    gan = cells(run)["gan"]
    text = directory.cell_path(gan.id).read_text()
    assert gan.comparability is not None
    directory.cell_path(gan.id).write_text(text.replace(gan.comparability.data_hash, "0" * 64))
    done = measure(run, "--metrics", "brightness", "--quiet")
    assert done.returncode == 5
    assert "The images of 'fashion-mnist-mini' have changed since this cell was trained" in done.stderr
    assert "brightness" not in values(cells(run)["gan"])


def test_a_run_without_metrics_gets_reference_rows_too(trained: Done, tmp_path: Path) -> None:
    done = warm.run(*TINY, "--models", "gan", *SMALL[:2], "--metrics", "none", "--quiet", out=tmp_path / "run")
    assert done.references == []
    assert measure(done.run, "--metrics", "brightness", "--quiet").returncode == 0
    (reference,) = done.references
    assert [row.estimates[0].metric for row in reference.rows] == ["brightness", "brightness"]
    assert [len(later.metrics) for later in reference.measured_later] == [1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--metrics", "vedni"), "Unknown metric 'vedni'"),
        (("--metrics", "brightness", "--set", "brightness.x=1"), "Unknown option brightness.x"),
        (("--metrics", "none"), "--metrics is empty"),
        (("--metrics", "brightness", "--cell", "cvea"), "Did you mean 'cvae'?"),
    ],
)
def test_a_wrong_request_changes_nothing(run: Path, arguments: tuple[str, ...], said: str) -> None:
    before = cells(run)
    done = measure(run, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert cells(run) == before


def test_one_command_at_a_time_works_on_a_run(run: Path) -> None:
    with hold(RunDirectory(run).record_path):
        done = measure(run, "--metrics", "brightness")
    assert done.returncode == 2
    assert "Another genbench process is working on" in done.stderr


def test_the_models_own_plugin_is_loaded_beside_a_named_one(tmp_path: Path) -> None:
    mine = Path(shutil.copy(FAULTS, tmp_path / "mine.py"))
    common = ("--plugin", str(mine), "--models", "sound", "--metrics", "none", "--quiet")
    done = warm.run(*TINY, *common, out=tmp_path / "run")
    assert done.code == 0, done.err
    assert measure(done.run, "--metrics", "brightness", "--quiet").returncode == 0
    assert "brightness" in values(done.cells["sound"])
    mine.write_text(mine.read_text() + "\n# changed\n")
    refused = measure(done.run, "--metrics", "contrast", "--quiet")
    assert refused.returncode == 5
    assert "Unknown model 'sound'" in refused.stderr


def test_an_exact_likelihood_is_measured_from_the_weights(tmp_path: Path) -> None:
    plugin = PLUGIN.parent / "conforming_plugin.py"
    chosen = ("--models", "metered", "--datasets", "dots", "--metrics", "none", "--batch-size", "4")
    done = warm.run(*TINY, "--plugin", str(plugin), *chosen, "--quiet", out=tmp_path / "run")
    measured = warm.command("measure", str(done.run), "--metrics", "bits-per-dim", "--in-process", "--quiet")
    assert measured.returncode == 0, measured.stderr
    (found,) = done.cells["metered"].estimates
    assert found.metric == "bits-per-dim"
    assert found.value > 0
