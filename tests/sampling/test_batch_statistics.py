"""Sampling with batch statistics: no image depends on the number of images requested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, Done
from PIL import Image
from warm import run

from genbench.cli import invoke

TEST_IMAGES = 257  # a full batch of 256, and one image that would be its own batch


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Done:
    small = ("gan.width=8", "conv-vae.width=4", "conv-vae.hidden=8", "synthetic.size=28", "synthetic.channels=1")
    settings = [word for one in (*small, f"synthetic.count={5 * TEST_IMAGES}") for word in ("--set", one)]
    models = ("--models", "gan,conv-vae", "--datasets", "synthetic", "--sample-statistics", "batch")
    return run(*TINY, *models, *settings, out=tmp_path_factory.mktemp("batch") / "run")


def images(done: Done, folder: Path, cell: str, *arguments: str) -> np.ndarray:
    made = folder / "made.npz"
    assert invoke(["sample", str(done.run), "--cell", cell, "--out", str(made), *arguments]) == 0
    with np.load(made) as file:
        return file["images"].astype(int)


def test_a_single_held_out_image_in_a_batch_is_reconstructed(trained: Done) -> None:
    assert {cell.status: cell.reason for cell in trained.run_cells} == {"ok": ""}


def test_an_interpolation_begins_and_ends_at_the_samples_of_its_seeds(trained: Done, tmp_path: Path) -> None:
    ends = [images(trained, tmp_path, "gan", "-n", "1", "--seed", seed)[0] for seed in "38"]
    assert np.abs(ends[0] - ends[1]).max() > 1
    for steps in ("2", "5"):
        strip = images(trained, tmp_path, "gan", "--interpolate", "3:8", "--steps", steps)
        assert len(strip) == int(steps)
        assert np.abs(strip[[0, -1]] - ends).max() <= 1


def test_a_reconstruction_does_not_depend_on_the_other_images(trained: Done, tmp_path: Path) -> None:
    for folder, count in (("one", 1), ("three", 3)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    alone, among = (
        images(trained, tmp_path, "conv-vae", "--reconstruct", str(tmp_path / folder)) for folder in ("one", "three")
    )
    assert np.abs(alone[0] - among[0]).max() <= 1
