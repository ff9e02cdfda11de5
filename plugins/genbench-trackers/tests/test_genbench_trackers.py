"""Each tracker's files hold the events sent to the reporter, read back with the tracker's own reader if it has one."""

from __future__ import annotations

import importlib.util
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import genbench_trackers
import pytest
from genbench_trackers import MLflowOptions, TensorBoardOptions, WandbOptions, event_files, mlflow_runs, wandb_runs
from genbench_trackers.scalars import import_library
from PIL import Image

import genbench
from genbench.api.specs import resolve

CHOICE = {"options": {}, "origin": {"plugin": "builtin", "distribution": "genbench", "version": "0"}}
IDENTITY = {
    "model": {"name": "gan", **CHOICE, "options": {"width": 8, "sizes": [1, 2]}},
    "loss": {"name": "hinge", **CHOICE},
    "dataset": {"name": "digits", **CHOICE},
    "image_shape": [1, 28, 28],
    "latent_dim": 100,
    "recipe": {"batch_size": 32, "learning_rate": 0.0002, "freeze": [], "best_metric": None},
    "device": "cpu",
    "seed": 3,
}
CELL = genbench.CellFacts(id="gan-hinge-s3", label="gan · hinge · seed 3", variant="", identity=IDENTITY)
RESULT = {
    "durations": {"total": 12.5},
    "throughput": {"images_per_second": 400.0},
    "parameters": {"generator": 10, "discriminator": 20},
    "memory": None,
}


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@pytest.fixture
def run(tmp_path: Path) -> genbench.RunFacts:
    path = tmp_path / "results" / "first"
    path.mkdir(parents=True)
    return genbench.RunFacts(
        path=path,
        name="first",
        created="2026-01-01T00:00:00+00:00",
        profile="smoke",
        command=("genbench", "run"),
        environment={},
        cells=(CELL,),
    )


def window(images: int, loss: float, warmup: bool = False) -> genbench.WindowFinished:
    terms = {"discriminator": loss, "term with ß": 1.0}
    return genbench.WindowFinished(
        cell=CELL, step=images // 32, images=images, images_per_second=400.0, terms=terms, warmup=warmup
    )


def begin(reporter: Any) -> None:
    reporter.cell_started(genbench.CellStarted(cell=CELL, index=1, total=1, steps=4))


def train(reporter: Any) -> None:
    begin(reporter)
    reporter.window_finished(window(32, 3.0, warmup=True))
    reporter.window_finished(window(64, 2.0))
    reporter.window_finished(window(96, 1.5))


def finish(reporter: Any, run: genbench.RunFacts, status: str = "ok") -> None:
    estimates = (
        genbench.Estimate(metric="fd-x", value=40.0, standard_error=0.5, n=100, direction="lower"),
        genbench.Estimate(metric="psnr", value=20.0, standard_error=None, n=100, direction="higher"),
    )
    reporter.evaluated(genbench.Evaluated(cell=CELL, step=3, images=96, estimates=estimates))
    picture = run.path / "samples.png"
    Image.new("L", (30, 20), 128).save(picture)
    reporter.cell_finished(
        genbench.CellFinished(cell=CELL, status=status, reason="", result=RESULT, pictures={"samples": picture})
    )
    reporter.run_finished(genbench.RunFinished(interrupted=False))


def test_the_specs_lead_to_their_reporters_and_import_no_tracker() -> None:
    specs = {spec.name: spec for spec in genbench_trackers.genbench_reporters()}
    assert specs.keys() == {"tensorboard", "mlflow", "wandb"}
    assert all(callable(resolve(spec.create)) for spec in specs.values())
    program = "import sys, genbench_trackers; print({'torch', 'tensorboard', 'mlflow', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_missing_library_is_reported_with_its_remedy() -> None:
    with pytest.raises(genbench.ReporterUnavailable, match=r"pip install 'genbench-trackers\[wandb\]'"):
        import_library("no_such_tracker", "wandb")


@needs("tensorboard")
def test_tensorboard_reads_the_scalars_pictures_and_hyperparameters(run: genbench.RunFacts) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reporter = event_files.create(run, TensorBoardOptions())
    train(reporter)
    finish(reporter, run)
    found = EventAccumulator(str(run.path / "tensorboard" / CELL.id)).Reload()
    curve = [(point.step, point.value) for point in found.Scalars("train/discriminator")]
    assert curve == [(32, 3.0), (64, 2.0), (96, 1.5)]
    assert [point.step for point in found.Scalars("speed/images_per_second")] == [64, 96]  # not during warm-up
    assert [(p.step, p.value) for p in found.Scalars("metric/fd-x")] == [(96, 40.0)]
    assert [p.value for p in found.Scalars("standard_error/fd-x")] == [0.5]
    assert "standard_error/psnr" not in found.Tags()["scalars"]
    assert [p.value for p in found.Scalars("cell/parameters")] == [30.0]
    (picture,) = found.Images("samples")
    assert (picture.width, picture.height) == (30, 20)
    assert picture.encoded_image_string == (run.path / "samples.png").read_bytes()
    (start,) = found.summary_metadata  # of the plugin hparams
    assert start == "_hparams_/session_start_info"
    content = found.summary_metadata[start].plugin_data.content
    assert b"gan.width" in content and b"learning_rate" in content


@needs("tensorboard")
def test_tensorboard_shows_each_point_once_when_a_cell_resumes(run: genbench.RunFacts, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = TensorBoardOptions(dir=str(tmp_path / "shared"))
    reporter = event_files.create(run, options)
    train(reporter)
    reporter.run_finished(genbench.RunFinished(interrupted=True))
    reporter = event_files.create(run, options)
    begin(reporter)
    reporter.window_finished(window(64, 2.5))  # from a checkpoint after the first window
    finish(reporter, run)
    found = EventAccumulator(str(tmp_path / "shared" / "first" / CELL.id)).Reload()
    assert [(p.step, p.value) for p in found.Scalars("train/discriminator")] == [(32, 3.0), (64, 2.5)]


@needs("mlflow")
def test_mlflow_reads_the_metrics_parameters_images_and_outcome(run: genbench.RunFacts) -> None:
    reporter = mlflow_runs.create(run, MLflowOptions())
    train(reporter)
    finish(reporter, run)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(run.path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("genbench")
    (found,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(found.info.run_id, "train/discriminator")
    assert [(point.step, point.value) for point in history] == [(32, 3.0), (64, 2.0), (96, 1.5)]
    assert found.data.metrics["metric/fd-x"] == 40.0
    assert found.data.metrics["standard_error/fd-x"] == 0.5
    assert found.data.metrics["train/term with _"] == 1.0
    assert found.data.metrics["cell/images_per_second"] == 400.0
    assert (found.data.params["gan.width"], found.data.params["seed"]) == ("8", "3")
    assert (found.info.status, found.data.tags["genbench.status"]) == ("FINISHED", "ok")
    assert [file.path for file in client.list_artifacts(found.info.run_id, "pictures")] == ["pictures/samples.png"]


@needs("mlflow")
def test_mlflow_continues_the_run_of_an_interrupted_cell(run: genbench.RunFacts, tmp_path: Path) -> None:
    options = MLflowOptions(uri=str(tmp_path / "store"), experiment="mine")
    reporter = mlflow_runs.create(run, options)
    train(reporter)
    reporter.run_finished(genbench.RunFinished(interrupted=True))
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "store").as_uri())
    experiments = [client.get_experiment_by_name("mine").experiment_id]
    assert [found.info.status for found in client.search_runs(experiments)] == ["KILLED"]
    reporter = mlflow_runs.create(run, options)
    begin(reporter)
    reporter.window_finished(window(128, 1.0))
    finish(reporter, run, status="collapsed")
    (found,) = client.search_runs(experiments)
    assert (found.info.status, found.data.tags["genbench.status"]) == ("FAILED", "collapsed")
    assert found.data.metrics["train/discriminator"] == 1.0


@needs("wandb")
def test_wandb_writes_an_offline_run_with_config_history_and_pictures(
    run: genbench.RunFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    reporter = wandb_runs.create(run, WandbOptions())
    train(reporter)
    finish(reporter, run)
    (folder,) = (run.path / "wandb").glob("offline-run-*")
    (log,) = folder.glob("run-*.wandb")
    records = list(read_wandb(log))
    history = [row for row in records if "train/discriminator" in row]
    assert [(row["_step"], row["train/discriminator"]) for row in history] == [(32, 3.0), (64, 2.0), (96, 1.5)]
    assert [row["metric/fd-x"] for row in records if "metric/fd-x" in row] == [40.0]
    assert {"width", "gan.width"} & {key for row in records for key in row.get("config", {})} == {"gan.width"}
    assert list(folder.glob("files/media/images/samples_*.png"))


def read_wandb(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the config, and each row of the history, of an offline run's log."""
    from wandb.proto import wandb_internal_pb2

    for data in records_of(log.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.run.config.update:
            yield {"config": {item.key: json.loads(item.value_json) for item in record.run.config.update}}
        if record.history.item:
            row = {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            yield row


def records_of(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format, which begins with seven bytes of wandb's own.

    Blocks of 32 KiB hold pieces: checksum (4), length (2), kind (1: whole, 2: first, 3: middle, 4: last), then bytes.
    """
    place, record = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no room for another head in this block
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""
