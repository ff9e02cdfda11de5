"""`genbench sample`: every form of output, and what is refused."""

from __future__ import annotations

import errno
import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from command_line import TINY
from PIL import Image
from safetensors.torch import load_file, save_file
from warm import run

from genbench.api.specs import Setup
from genbench.builtin.families.adversarial import Adversarial
from genbench.cli import invoke
from genbench.plugins.catalogue import discover
from genbench.results.store import RunDirectory
from genbench.sampling.image_io import _write_folder, parse_destination

# Images whose grey level is 17 times their class, except for the first pixel, which shows the first latent.
PAINT = """
import genbench
import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, latents, labels):
        level = (labels.float() / 15 * 2 - 1)[:, None, None, None].expand(-1, 1, 28, 28) * self.gain.clamp(1, 1)
        first = torch.zeros_like(level)
        first[:, :, 0, 0] = 1
        return level * (1 - first) + latents[:, :1, None, None].clamp(-3, 3) / 3 * first


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 1)

    def forward(self, images, labels):
        return self.layer(images.flatten(1))


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(
        name="paint", family="adversarial", conditional=True, latent_dim=4, default_loss="non-saturating",
        build=lambda image_shape, latent_dim, num_classes, options: {
            "generator": Generator(), "discriminator": Discriminator()
        },
    )
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("sample")
    plugin = folder / "paint.py"
    plugin.write_text(PAINT)
    small = ("--set", "vae.hidden=16", "--set", "gan.width=8")
    done = run(*TINY, "--plugin", str(plugin), "--models", "gan,vae,paint", *small, out=folder / "run")
    assert done.code == 0, done.err
    return RunDirectory(done.run)


@pytest.fixture(scope="module", autouse=True)
def _discover_plugins_once() -> Iterator[None]:
    """Importing torch in a separate process for each command would take most of the time."""
    once = functools.cache(discover)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genbench.sampling.checkpoint_model.discover", lambda files: once(tuple(files)))
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for seed in range(5):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{seed}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    return tmp_path / "photos"


def sample(trained: RunDirectory, cell: str, out: Path, *arguments: str) -> int:
    return invoke(["sample", str(trained.path), "--cell", cell, "--out", str(out), *arguments])


def arrays(trained: RunDirectory, cell: str, folder: Path, *arguments: str) -> dict[str, np.ndarray]:
    assert sample(trained, cell, folder / "made.npz", *arguments) == 0
    with np.load(folder / "made.npz") as file:
        return dict(file)


def grid(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.mark.slow
def test_the_training_seed_gives_the_sample_grid_of_the_run(trained, tmp_path):
    for name in ("gan-", "vae-elbo"):
        cell = trained.find_cell(name)
        assert sample(trained, name, tmp_path / "grid.png", "-n", "16") == 0
        assert np.abs(grid(tmp_path / "grid.png") - grid(trained.sample_path(cell.id))).max() <= 1


def test_the_same_seed_gives_the_same_images_however_many_and_another_gives_others(trained, tmp_path):
    many = arrays(trained, "gan-", tmp_path, "-n", "40", "--seed", "7")["images"]
    few = arrays(trained, "gan-", tmp_path, "-n", "5", "--seed", "7")["images"]
    others = arrays(trained, "gan-", tmp_path, "-n", "5", "--seed", "8")["images"]
    assert many.shape == (40, 28, 28, 1)
    assert many.dtype == np.uint8
    assert np.abs(many[:5].astype(int) - few).max() <= 1
    assert np.abs(few.astype(int) - others).max() > 1
    assert len(np.unique(many.reshape(40, -1), axis=0)) == 40


def test_a_conditional_model_cycles_through_its_classes_or_draws_one(trained, tmp_path):
    in_turn = arrays(trained, "paint", tmp_path, "-n", "25")
    assert in_turn["labels"].tolist() == [n % 10 for n in range(25)]
    assert in_turn["images"][:, 5, 5, 0].tolist() == [17 * (n % 10) for n in range(25)]
    for name in ("7", "Sneaker", "sneaker"):
        one = arrays(trained, "paint", tmp_path, "-n", "3", "--class", name)
        assert one["labels"].tolist() == [7, 7, 7]
        assert (one["images"][:, 5, 5, 0] == 17 * 7).all()


def test_truncation_moves_latents_closer_to_the_mean(trained, tmp_path):
    for psi in (0.25, 1.0):
        made = arrays(trained, "paint", tmp_path, "-n", "64", "--truncate", str(psi))["images"]
        first = np.abs(made[:, 0, 0, 0] / 127.5 - 1) * 3  # the first latent
        assert first.max() <= psi + 0.02
        assert first.max() > 0.8 * psi


def test_an_interpolation_begins_and_ends_at_the_samples_of_its_seeds(trained, tmp_path):
    strip = arrays(trained, "vae-elbo", tmp_path, "--interpolate", "3:8", "--steps", "5")["images"].astype(int)
    ends = [arrays(trained, "vae-elbo", tmp_path, "-n", "1", "--seed", seed)["images"][0] for seed in ("3", "8")]
    assert len(strip) == 5
    assert np.abs(strip[0] - ends[0]).max() <= 1
    assert np.abs(strip[-1] - ends[1]).max() <= 1
    whole = np.abs(strip[-1] - strip[0]).sum()
    assert all(np.abs(b - a).sum() < whole for a, b in itertools.pairwise(strip))


def test_an_interpolation_is_a_strip_or_an_animation_that_runs_back(trained, tmp_path):
    assert sample(trained, "gan-", tmp_path / "way.png", "--interpolate", "1:2") == 0
    assert grid(tmp_path / "way.png").shape[:2] == (32, 8 * 30 + 2)
    assert sample(trained, "gan-", tmp_path / "way.gif", "--interpolate", "1:2", "--steps", "6") == 0
    with Image.open(tmp_path / "way.gif") as animation:
        assert (animation.n_frames, animation.size) == (10, (28, 28))
        assert animation.info["loop"] == 0


def test_a_missing_folder_of_images_is_named(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    assert sample(trained, "vae-elbo", tmp_path / "pairs.png", "--reconstruct", "fotos") == 2
    assert "Did you mean 'photos'?\nCheck --reconstruct; the path is relative to" in capsys.readouterr().err


def test_reconstructions_are_below_their_originals(trained, photos, tmp_path, capsys):
    made = arrays(trained, "vae-elbo", tmp_path, "--reconstruct", str(photos))
    assert made["images"].shape == made["originals"].shape == (5, 28, 28, 1)
    assert "Skipped broken.png (not an image in a known format)" in capsys.readouterr().err
    assert sample(trained, "vae-elbo", tmp_path / "pairs.png", "--reconstruct", str(photos), "-n", "4") == 0
    pairs = grid(tmp_path / "pairs.png")
    assert pairs.shape[:2] == (2 * 30 + 2, 4 * 30 + 2)
    for index in range(4):
        place = np.s_[2 + 30 * index : 30 + 30 * index, 0]
        assert np.array_equal(pairs[2:30, place[0], 0], made["originals"][index, :, :, 0])
        assert np.abs(pairs[32:60, place[0], 0] - made["images"][index, :, :, 0].astype(int)).max() <= 1


def test_a_folder_contains_one_png_per_image_by_class(trained, tmp_path):
    assert sample(trained, "gan-", tmp_path / "plain", "-n", "3") == 0
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    assert sample(trained, "paint", tmp_path / "deep" / "classes", "-n", "10") == 0
    folders = sorted(path.name for path in (tmp_path / "deep" / "classes").iterdir())
    assert folders == sorted(["0", *trained.read_cells().results[trained.find_cell("paint").id].class_names[1:]])
    with Image.open(tmp_path / "deep" / "classes" / "Sneaker" / "00007.png") as image:
        assert (image.mode, image.getpixel((5, 5))) == ("L", 17 * 7)


def test_the_best_weights_are_those_of_the_best_evaluation(trained, tmp_path):
    cell = trained.find_cell("gan-")
    weights = load_file(trained.checkpoint_path(cell.id))
    weights |= {name: value * 0 for name, value in weights.items() if name.startswith("generator")}
    save_file(weights, trained.best_path(cell.id))
    try:
        best = arrays(trained, cell.id, tmp_path, "-n", "4", "--best")["images"]
    finally:
        trained.best_path(cell.id).unlink()
    assert len(np.unique(best)) == 1


def test_weights_of_other_networks_are_refused_with_names_and_shapes(trained, tmp_path, capsys):
    cell = trained.find_cell("gan-")
    path = trained.checkpoint_path(cell.id)
    kept = path.read_bytes()
    weights = load_file(path)
    name = next(name for name in weights if name.startswith("generator") and weights[name].ndim == 2)
    try:
        save_file({**weights, name: torch.zeros(3, 3)}, path)
        assert sample(trained, cell.id, tmp_path / "x.png") == 2
        assert name in capsys.readouterr().err
        save_file({key: value for key, value in weights.items() if key != name}, path)
        assert sample(trained, cell.id, tmp_path / "x.png") == 2
        assert f"{name} is not in the file" in capsys.readouterr().err
        save_file({key: value for key, value in weights.items() if key.startswith("generator")}, path)
        assert sample(trained, cell.id, tmp_path / "x.png") == 0  # a generator needs no discriminator
        path.write_bytes(kept[:100])
        assert sample(trained, cell.id, tmp_path / "x.png") == 2
        path.unlink()
        assert sample(trained, cell.id, tmp_path / "x.png") == 5
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("cell", "arguments", "words"),
    [
        ("gan-", ["--class", "3"], "not conditional"),
        ("paint", ["--class", "Sneakr"], "Did you mean 'Sneaker'"),
        ("paint", ["--class", "10"], "Classes are 0 to 9"),
        ("gan-", ["--truncate", "0"], "above 0"),
        ("gan-", ["--truncate", "nan"], "above 0"),
        ("gan-", ["--interpolate", "3"], "two seeds"),
        ("gan-", ["--interpolate", "3:-1"], "two seeds"),
        ("gan-", ["--interpolate", "3:4", "--seed", "1"], "cannot be combined"),
        ("gan-", ["--interpolate", "3:4", "--reconstruct", "."], "cannot be combined"),
        ("gan-", ["--steps", "3"], "needs --interpolate"),
        ("gan-", ["--reconstruct", "."], "do not reconstruct"),
        ("paint", ["--reconstruct", "."], "do not reconstruct"),
        ("gan-", ["--best"], "has no best weights"),
        ("gan-", ["-n", "0"], "0 is not in the range"),
        ("gan-", ["--device", "cpuu"], "Did you mean 'cpu'"),
        ("nothing", [], "No cell of"),
    ],
)
def test_impossible_requests_are_explained(trained, tmp_path, capsys, cell, arguments, words):
    assert sample(trained, cell, tmp_path / "x.png", *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_invalid_outputs_are_refused_before_sampling(trained, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.png").touch()
    (tmp_path / "file").touch()
    for out, words in (
        ("x.jpeg", "Did you mean '.png'"),
        ("x.gif", "only an interpolation can be animated"),
        ("full", "is not empty"),
        ("file", "a file without a suffix"),
    ):
        assert sample(trained, "gan-", tmp_path / out) == 2
        assert words in capsys.readouterr().err


def test_a_model_without_latents_is_sampled_but_not_interpolated(trained, tmp_path, monkeypatch, capsys):
    class Plain:
        def __init__(self, setup: Setup) -> None:
            self.sample = Adversarial(setup).sample

        def phases(self) -> None: ...

        def reconstruct(self) -> None: ...

    before = arrays(trained, "gan-", tmp_path, "-n", "3")["images"]
    monkeypatch.setattr("genbench.builtin.families.adversarial.Adversarial", Plain)
    after = arrays(trained, "gan-", tmp_path, "-n", "3")["images"]
    assert np.abs(before.astype(int) - after).max() <= 1
    assert sample(trained, "gan-", tmp_path / "x.png", "--interpolate", "1:2") == 2
    assert sample(trained, "gan-", tmp_path / "x.png", "--truncate", "0.5") == 2
    assert "continuous latents" in capsys.readouterr().err


def test_a_cell_that_collapsed_is_sampled_with_a_note(trained, tmp_path, capsys):
    cell = trained.find_cell("gan-")
    path = trained.cell_path(cell.id)
    kept = path.read_bytes()
    try:
        result = trained.read_cells().results[cell.id]
        trained.write_cell(msgspec.structs.replace(result, status="collapsed", reason="all alike"))
        assert sample(trained, cell.id, tmp_path / "x.png") == 0
    finally:
        path.write_bytes(kept)
    assert "Note: this cell has status 'collapsed': all alike" in capsys.readouterr().err


@pytest.mark.parametrize("existed", [False, True])
def test_a_folder_that_could_not_be_completed_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existed: bool
) -> None:
    place, saved = tmp_path / "out", Image.Image.save
    if existed:
        place.mkdir()

    def until_full(image: Image.Image, path: Path, **options: object) -> None:
        if path.name.startswith("00003"):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved(image, path, **options)

    pixels = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    for classes in (None, ["a", "b", "a", "b", "a", "b"]):
        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, "save", until_full)
            with pytest.raises(OSError, match="No space left"):
                _write_folder(place, pixels, classes, pixels)
        assert place.is_dir() is existed
        assert list(tmp_path.rglob("*.png")) == []
    assert parse_destination(f"{place}/", animated=False).form == "folder"
    _write_folder(place, pixels, None, None)
    assert len(list(place.iterdir())) == 6
