"""Cells of a run leave their samples during training and interpolations, and everything names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY, Done
from PIL import Image
from warm import run

import genbench
from genbench.cli import invoke
from genbench.report.training_samples import StoredSheet, read_training_samples
from genbench.results.store import RunDirectory
from genbench.runner.in_process import NOTE
from genbench.sampling.sprite_sheet import BUDGET


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    small = "vae.hidden=16 cvae.hidden=16 vq-vae.width=8 vq-vae.prior_width=4 vq-vae.prior_layers=1"
    options = [argument for each in small.split() for argument in ("--set", each)]
    return run(*TINY, "--models", "vae,cvae,vq-vae", *options, out=tmp_path_factory.mktemp("files") / "run")


@pytest.mark.parametrize("model", ["vae", "cvae", "vq-vae"])
def test_a_cell_leaves_its_samples_during_training(done: Done, model: str) -> None:
    cell = done.cells[model]
    assert (cell.status, cell.notes) == ("ok", [NOTE])
    sheet = read_training_samples(RunDirectory(done.run), cell)
    assert isinstance(sheet, StoredSheet)
    assert [frame.step for frame in sheet.record.frames] == [0, cell.steps]
    assert [frame.images for frame in sheet.record.frames] == [0, cell.images]
    assert (sheet.record.columns, sheet.record.rows, sheet.record.width) == (8, 8, 28)
    assert sheet.record.bytes == len(sheet.content) <= BUDGET


def test_show_and_python_list_the_files(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["show", str(done.run)]) == 0
    shown = capsys.readouterr().out
    for cell in genbench.load(done.run).cells:
        pictures = cell.pictures
        assert f"training samples: {pictures['training samples']}" in shown
        assert ("interpolation" in pictures) == (cell.model != "vq-vae")  # it has no continuous latents


@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_models_with_latents_leave_four_interpolations_of_eight_images(done: Done, model: str) -> None:
    with Image.open(RunDirectory(done.run).interpolation_path(done.cells[model].id)) as picture:
        assert picture.size == (8 * (28 + 2) + 2, 4 * (28 + 2) + 2)


def test_points_and_unreal_images(tmp_path: Path) -> None:
    small = ("--set", "gan.width=8")
    points = run(*TINY, "--models", "gan", *small, "--datasets", "gaussian-ring", out=tmp_path / "points")
    sheet = read_training_samples(RunDirectory(points.run), points.cells["gan"])
    assert isinstance(sheet, StoredSheet)
    assert (sheet.record.columns, sheet.record.rows) == (1, 1)
    assert sheet.record.bytes < BUDGET

    unreal = run(*TINY, "--models", "gan", *small, "--datasets", "synthetic", out=tmp_path / "unreal")
    cell = unreal.cells["gan"]
    assert (cell.status, cell.training_samples) == ("ok", None)
    assert not RunDirectory(unreal.run).interpolation_path(cell.id).exists()
