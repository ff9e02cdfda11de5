"""`genbench.distance`: the values of `genbench fid`, for images on disk and in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genbench
from genbench.cli import invoke
from genbench.errors import DataError, UsageError

CNN: dict[str, Any] = {"extractor": "fashion-cnn", "device": "cpu"}


def pixels(seed: int, n: int = 70) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images")
    for number, image in enumerate(pixels(0)):
        Image.fromarray(image).save(path / f"{number:03}.png")
    return path


def test_all_forms_of_the_same_images_have_the_value_of_the_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, fake = pixels(0), pixels(1)
    np.save(tmp_path / "fake.npy", fake)
    command = [
        "fid",
        str(folder),
        str(tmp_path / "fake.npy"),
        "--extractor",
        "fashion-cnn",
        "--device",
        "cpu",
        "--json",
    ]
    assert invoke(command) == 0
    (printed,) = json.loads(capsys.readouterr().out)["estimates"]
    statistics = genbench.save_image_statistics(folder, tmp_path / "real.npz", **CNN)
    forms: list[Any] = [
        folder,
        str(folder),
        real,
        real[..., None],
        torch.from_numpy(real)[:, None],
        torch.from_numpy(real)[:, None].float() / 255,
        genbench.Images(torch.from_numpy(real)[:, None]),
        [torch.from_numpy(real[:40])[:, None], torch.from_numpy(real[40:])[:, None]],
        ((batch, 0) for batch in (real[:40, None], real[40:, None])),
        statistics,
    ]
    for form in forms:
        found = genbench.distance(form, fake, **CNN)
        assert found.estimate("fd-fashion-cnn").value == pytest.approx(printed["value"], rel=1e-9), type(form)
        assert (found.real.n, found.fake.n) == (70, 70)


def test_warnings_are_part_of_the_result_and_nothing_is_printed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    for number, image in enumerate(pixels(2, 3)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    found = genbench.distance(folder, tmp_path, ["fd", "prdc"], **CNN)
    assert any("broken.png" in warning for warning in found.warnings)
    assert any("singular" in warning for warning in found.warnings)
    assert found.fake.skipped == 1
    assert capfd.readouterr() == ("", "")
    assert str(found).startswith("real  ") and json.loads(found.to_json())["fake"]["n"] == 3
    assert "<pre>" in found._repr_html_()
    with pytest.raises(UsageError, match=r"was not measured\. Did you mean 'fd-fashion-cnn'"):
        found.estimate("fd-fashion-cn")
    with pytest.raises(DataError, match=r"broken\.png"):
        genbench.distance(folder, tmp_path, strict=True, **CNN)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((5, 28, 28), np.int64), "`fake` contains int64, not pixels"),
        (np.full((5, 28, 28), 200.0), r"`fake`: floating-point pixels lie in \[200, 200\]"),
        (np.full((5, 28, 28), np.nan), "image 0 has pixels that are NaN"),
        (np.zeros((5, 28), np.uint8), "which is not a set of images"),
        (np.array([object()]), "Python objects"),
        ([torch.zeros(1, 28, 28)], "a batch has four axes"),
        (["a.png"], "`fake` yields str, not batches of images"),
        (3, "`fake` is int, not a set of images"),
        ([], "has no readable image"),
    ],
)
def test_what_is_no_set_of_images_is_refused(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        genbench.distance(pixels(0), images, **CNN)


def test_a_generator_is_read_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from genbench.data.progress import ignore_progress
    from genbench.imagesets.in_memory import memory_source
    from genbench.imagesets.source import ReadReport

    def batches() -> Iterator[Any]:
        yield pixels(0)[:, None]

    source = memory_source(batches(), "`fake`")
    assert [len(batch) for batch in source.batches(50, ReadReport(), ignore_progress)] == [50, 20]
    with pytest.raises(DataError, match="only once"):
        list(source.batches(50, ReadReport(), ignore_progress))


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="batch_size = 0"):
        genbench.distance(pixels(0), pixels(1), batch_size=0, **CNN)
    with pytest.raises(UsageError, match=r"not an \.npz"):
        genbench.save_image_statistics(pixels(0), "statistics.txt")
