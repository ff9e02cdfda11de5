"""`genbench data check`: names and paths, exit codes, files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genbench.cli import invoke


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(120):
        noise(tmp_path / "photos" / "ab"[seed % 2] / f"{seed:03}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def leaky(photos: Path) -> Path:
    noise(photos / "a" / "zz.png", 0)  # the 61st of its class: a training image, like the first
    noise(photos / "b" / "001.png", 3)
    return photos


SIZE = ("--set", "folder.size=16")


def test_a_folder_by_path_and_as_a_dataset(photos, capsys):
    assert invoke(["data", "check", str(photos), *SIZE]) == 0
    by_path = capsys.readouterr().out
    assert invoke(["data", "check", f"folder:{photos}", *SIZE]) == 0
    assert capsys.readouterr().out == by_path
    assert "120 images (96 for training, 24 held out)" in by_path


def test_suspicious_images_are_reported_and_strict_sets_the_exit_code(leaky, capsys):
    assert invoke(["data", "check", str(leaky), *SIZE]) == 0
    assert invoke(["data", "check", str(leaky), *SIZE, "--strict"]) == 5
    assert "a/000.png = a/zz.png" in capsys.readouterr().out


def test_strict_passes_with_notes_only(tmp_path, capsys):
    for seed in range(150):
        noise(tmp_path / f"{seed}.png", seed)
    assert invoke(["data", "check", str(tmp_path), *SIZE, "--strict"]) == 0
    out = capsys.readouterr().out
    assert "\nnote " in out
    assert "\nwarning " not in out


def test_json_contains_everything(leaky, capsys):
    assert invoke(["data", "check", str(leaky), *SIZE, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["images"] == 121
    assert data["sizes"]["target"] == 16
    assert [group["images"] for group in data["exact_duplicates"]] == [
        ["a/000.png", "a/zz.png"],
        ["b/001.png", "b/003.png"],
    ]
    documented = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in documented for key in data)
    assert all(f"`{code}`" in documented for code in {finding["code"] for finding in data["findings"]})


def test_a_dataset_by_name_with_its_options(capsys):
    arguments = ["data", "check", "synthetic", "--set", "synthetic.count=50", "--set", "synthetic.size=16"]
    assert invoke([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["kind"], data["train"], data["test"]) == ("dataset", 40, 10)
    assert data["balance"]["classes"][0]["name"] == "0"


def test_a_dataset_of_a_plugin_file(tmp_path, capsys):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import genbench, torch\n"
        "def load(options, cache):\n"
        "    x = torch.randint(0, 256, (30, 2, 9, 9), dtype=torch.uint8)\n"
        "    return genbench.ImageData(genbench.Images(x), genbench.Images(x[:4]))\n"
        "@genbench.hookimpl\n"
        "def genbench_datasets():\n"
        "    yield genbench.DatasetSpec(name='mine', image_shape=(2, 9, 9), load=load)\n"
    )
    assert invoke(["data", "check", "mine", "--plugin", str(plugin)]) == 0
    assert "4 held-out images identical to training images" in capsys.readouterr().out


def test_no_readable_image_is_no_data(tmp_path, capsys):
    assert invoke(["data", "check", str(tmp_path)]) == 5
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert invoke(["data", "check", str(tmp_path)]) == 5
    assert "broken.png (not an image in a known format)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("fashion-mnist-min", "Did you mean 'fashion-mnist-mini'"),
        ("./nowhere", "does not exist"),
        ("synthetic:3", "does not accept a `:argument` suffix"),
        ("./fotos", "Did you mean 'photos'"),
        ("folder:photos/a.png", "is a file, not a folder"),
        ("image-folder:nowhere", "does not exist"),
        ("folder", "needs a path"),
    ],
)
def test_an_invalid_source_is_explained(source, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    assert invoke(["data", "check", source]) == 2
    assert words in capsys.readouterr().err


def test_bad_options_are_refused(photos, capsys):
    assert invoke(["data", "check", str(photos), "--set", "folder.sise=3"]) == 2
    assert "Did you mean 'size'" in capsys.readouterr().err
    assert invoke(["data", "check", str(photos), "--set", "folder.size=0"]) == 2
    assert invoke(["data", "check", str(photos), "--set", "vae.width=3"]) == 2


def test_the_sheet_is_an_image_and_its_path_is_checked_first(leaky, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert invoke(["data", "check", str(leaky), *SIZE, "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as image:
        assert image.mode == "RGB"
    for wrong in (tmp_path / "sheet.jpg", tmp_path / "nowhere" / "sheet.png", leaky / "sheet.png"):
        assert invoke(["data", "check", str(leaky), *SIZE, "--sheet", str(wrong)]) == 2
        assert not wrong.exists()


def test_no_sheet_is_written_without_suspicious_images(photos, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert invoke(["data", "check", str(photos), *SIZE, "--sheet", str(sheet)]) == 0
    assert "No suspicious images to draw." in capsys.readouterr().err
    assert not sheet.exists()


def test_a_folder_whose_name_is_not_text_can_be_checked(tmp_path, capsys):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    odd.mkdir()
    noise(odd / "a.png", 0)
    assert invoke(["data", "check", str(odd), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"].endswith(r"caf\udce9")
