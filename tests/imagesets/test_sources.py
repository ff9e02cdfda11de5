"""Sources of images: which images are read, in which batches, and how the others are reported."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pytorch_fid.fid_score import ImagePathDataset
from torch import Tensor

from genbench.data.progress import ignore_progress
from genbench.errors import DataError
from genbench.features.feature_file import FeatureRows, chunks
from genbench.imagesets.array_file import holds_statistics, npy_source, npz_source
from genbench.imagesets.image_folder import folder_source
from genbench.imagesets.source import ImageSource, ReadReport


def pictures(n: int, height: int = 5, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def save(folder: Path, images: np.ndarray, first: int = 0) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for number, image in enumerate(images, first):
        Image.fromarray(image).save(folder / f"{number:03}.png")


def read(source: ImageSource, size: int = 3) -> tuple[list[Tensor], ReadReport]:
    report = ReadReport()
    return list(source.batches(size, report, ignore_progress)), report


# ----------------------------------------------------------------------------------------------------------------------
# Folders


def test_pixels_are_those_that_pytorch_fid_reads(tmp_path: Path) -> None:
    save(tmp_path, pictures(4))
    Image.fromarray(pictures(1)[0]).save(tmp_path / "010.jpg", quality=50)
    palette = Image.fromarray(pictures(1, seed=1)[0]).quantize(16)
    palette.save(tmp_path / "011.png")
    batches, report = read(folder_source(tmp_path))
    found = torch.cat(batches)
    theirs = [np.asarray(ImagePathDataset([path])[0]) for path in sorted(tmp_path.iterdir())]
    assert torch.equal(found, torch.from_numpy(np.stack(theirs)).permute(0, 3, 1, 2))
    assert [len(batch) for batch in batches] == [3, 3]
    assert (report.read, report.complete) == (6, True)


def test_grey_files_stay_grey_and_match_the_repeated_channels_of_pytorch_fid(tmp_path: Path) -> None:
    Image.fromarray(pictures(1)[0, :, :, 0]).save(tmp_path / "grey.png")
    ((image,),), report = read(folder_source(tmp_path))
    assert report.shapes == {(1, 5, 4): 1}
    theirs = np.asarray(ImagePathDataset([tmp_path / "grey.png"])[0])
    assert torch.equal(image.expand(3, -1, -1), torch.from_numpy(theirs.copy()).permute(2, 0, 1))


def test_batches_contain_images_of_one_shape_and_each_image_once(tmp_path: Path) -> None:
    for number, (height, width) in enumerate([(5, 4), (4, 5), (6, 6)] * 7):
        save(tmp_path, pictures(1, height, width, seed=number), first=number)
    batches, report = read(folder_source(tmp_path), size=4)
    assert max(len(batch) for batch in batches) <= 4
    assert report.shapes == {(3, 5, 4): 7, (3, 4, 5): 7, (3, 6, 6): 7}
    assert sum(len(batch) for batch in batches) == 21


def test_unreadable_files_are_counted_and_the_first_ten_named(tmp_path: Path) -> None:
    save(tmp_path, pictures(2))
    for number in range(12):
        (tmp_path / f"broken-{number:02}.png").write_bytes(b"no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "000.png").read_bytes()[:60])
    batches, report = read(folder_source(tmp_path))
    assert sum(len(batch) for batch in batches) == 2
    assert report.skipped == 13
    assert report.named[0] == "broken-00.png (not an image in a known format)"
    assert len(report.named) == 10
    assert report.warnings()[0].endswith("and 3 more")


def test_a_file_that_disappears_while_the_folder_is_read_is_skipped_and_the_change_reported(tmp_path: Path) -> None:
    save(tmp_path, pictures(3))
    source = folder_source(tmp_path)
    (tmp_path / "001.png").unlink()
    batches, report = read(source)
    assert sum(len(batch) for batch in batches) == 2
    assert report.named == ["001.png (no longer there)"]
    assert report.faults == ["the folder changed while it was read"]
    assert not report.complete


def test_a_file_that_appears_while_the_folder_is_read_is_reported(tmp_path: Path) -> None:
    save(tmp_path, pictures(3))
    source = folder_source(tmp_path)
    save(tmp_path, pictures(1), first=7)
    batches, report = read(source)
    assert (sum(len(batch) for batch in batches), len(report.faults)) == (3, 1)


def test_the_identity_of_a_folder_changes_with_its_files(tmp_path: Path) -> None:
    save(tmp_path, pictures(3))
    before = folder_source(tmp_path).identify()
    assert folder_source(tmp_path).identify() == before
    os.utime(tmp_path / "001.png", (1, 1))
    assert folder_source(tmp_path).identify() != before


def test_images_left_out_because_of_their_suffix_are_reported_and_their_set_is_incomplete(tmp_path: Path) -> None:
    save(tmp_path, pictures(3))
    Image.fromarray(pictures(1)[0]).save(tmp_path / "phone.jfif", "JPEG")
    (tmp_path / "no suffix").write_bytes((tmp_path / "000.png").read_bytes())
    Image.fromarray(pictures(1)[0]).save(tmp_path / "loud.JPEG", "JPEG")  # read: upper case does not matter
    (tmp_path / "new.heic").write_bytes(b"of a format that is not read")
    (tmp_path / "notes.txt").write_text("no picture")
    source = folder_source(tmp_path)
    assert source.left_out == ("new.heic (HEIC)", "no suffix (PNG)", "phone.jfif (JPEG)")
    batches, report = read(source)
    assert sum(len(batch) for batch in batches) == 4
    report.left_out = source.left_out
    assert report.warnings()[0].startswith("3 images were left out because of the suffix: new.heic (HEIC), ")
    assert report.repeatable and not report.complete


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(DataError, match="no images"):
        folder_source(tmp_path)


# ----------------------------------------------------------------------------------------------------------------------
# Arrays


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["nhwc", "nchw", "float", "grey"])
def test_arrays_of_every_axis_order_are_the_same_images(tmp_path: Path, order: str, compressed: bool) -> None:
    images = pictures(7)
    expected = torch.from_numpy(images).permute(0, 3, 1, 2)
    stored = {
        "nhwc": images,
        "nchw": images.transpose(0, 3, 1, 2),
        "float": (images / 255).astype(np.float32),
        "grey": images[..., 0],
    }[order]
    if order == "grey":
        expected = expected[:, :1]
    np.save(tmp_path / "a.npy", np.ascontiguousarray(stored))
    write = np.savez_compressed if compressed else np.savez
    write(tmp_path / "a.npz", images=np.ascontiguousarray(stored), labels=np.arange(7))
    for source in (npy_source(tmp_path / "a.npy"), npz_source(tmp_path / "a.npz")):
        batches, report = read(source)
        assert [len(batch) for batch in batches] == [3, 3, 1]
        assert torch.equal(torch.cat(batches), expected)
        assert (report.read, source.expected) == (7, 7)


def _nan(images: np.ndarray) -> np.ndarray:
    values = images / 255
    values[4, 0, 0, 0] = np.nan
    return values


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nan, "image 4 has pixels that are NaN"),
        (lambda images: images / 127.5 - 1, r"lie in \[-.*\], not in \[0, 1\]"),
        (lambda images: images.astype(np.float64), r"not in \[0, 1\]"),
        (lambda images: images.astype(np.int64), "int64, not pixels"),
        (lambda images: images[:, :3, :, :], "either axis could be the channels"),
        (lambda images: np.concatenate([images, images[..., :1]], -1), "no axis has 1 or 3 channels"),
        (lambda images: images[0, 0], "not a set of images|neither images nor statistics"),
        (lambda images: np.asfortranarray(images), "Fortran order"),
        (lambda images: np.array([{"a": 1}, None]), "pickle"),
    ],
)
def test_arrays_that_are_not_images_are_refused_with_the_reason(tmp_path: Path, make: object, message: str) -> None:
    array = make(pictures(6))  # type: ignore[operator]
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=array)
    for open_, name in ((npy_source, "a.npy"), (npz_source, "a.npz")):
        with pytest.raises(DataError, match=message):
            read(open_(tmp_path / name))


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="was not read"):
        read(npy_source(tmp_path / "a.npy"))
    assert not (tmp_path / "sprung").exists()


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pictures(20))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-7])
    with pytest.raises(DataError, match="truncated"):
        read(npy_source(tmp_path / "a.npy"))
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(DataError, match="contains no array"):
        npy_source(tmp_path / "a.npy")


def test_an_array_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pictures(5))
    source = npy_source(tmp_path / "a.npy")
    os.utime(tmp_path / "a.npy", (1, 1))
    with pytest.raises(DataError, match="changed while it was read"):
        read(source)


def test_the_error_for_an_ambiguous_archive_lists_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=pictures(3), two=pictures(3))
    with pytest.raises(DataError, match=r"several arrays of images: one \(3, 5, 4, 3\), two"):
        npz_source(tmp_path / "a.npz")
    np.savez(tmp_path / "s.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert holds_statistics(tmp_path / "s.npz")
    assert not holds_statistics(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match="contains no array"):
        holds_statistics(tmp_path / "b.npz")


def test_the_identity_of_an_array_is_its_content(tmp_path: Path) -> None:
    """Another array of the same size and time is another one, and a copy elsewhere is the same."""
    for name, seed in (("a.npy", 0), ("b.npy", 1), ("c.npy", 0)):
        np.save(tmp_path / name, pictures(5, seed=seed))
        os.utime(tmp_path / name, (1, 1))
    first, other, copy = (npy_source(tmp_path / name).identify() for name in ("a.npy", "b.npy", "c.npy"))
    assert first == copy != other


@pytest.mark.parametrize("outside", [1e-7, 5e-4, 1e-3])
def test_floats_a_rounding_error_outside_the_range_are_clipped(tmp_path: Path, outside: float) -> None:
    values = (pictures(4) / 255).astype(np.float64)
    values[0, 0, 0, 0], values[1, 0, 0, 0] = 1 + outside * 0.999, -outside * 0.999
    np.save(tmp_path / "a.npy", values)
    (batch,), _ = read(npy_source(tmp_path / "a.npy"), size=9)
    assert (int(batch[0, 0, 0, 0]), int(batch[1, 0, 0, 0])) == (255, 0)


@pytest.mark.parametrize(
    ("low", "high", "excess", "advice"),
    [
        (0, 1.02, "exceed it by 0.02", "Clip or scale"),
        (-0.05, 1, "exceed it by 0.05", "Clip or scale"),
        (0, 255, "exceed it by 254", "Divide them by 255"),
        (-1, 1, "exceed it by 1", r"by \(x \+ 1\) / 2"),
        (-3, 9, "exceed it by 8", "Clip or scale"),
    ],
)
def test_floats_outside_the_range_are_refused_with_the_excess_and_the_scaling(
    tmp_path: Path, low: float, high: float, excess: str, advice: str
) -> None:
    np.save(tmp_path / "a.npy", np.linspace(low, high, 2 * 5 * 4, dtype=np.float32).reshape(2, 5, 4))
    with pytest.raises(DataError, match=excess) as caught:
        read(npy_source(tmp_path / "a.npy"))
    assert re.search(advice, caught.value.cure)
    assert caught.value.exit_code == 5


# ----------------------------------------------------------------------------------------------------------------------
# Features on disk


@given(st.integers(1, 5), st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(1, 9), st.data())
def test_rows_on_disk_equal_those_that_were_appended(d: int, sizes: list[int], size: int, data: st.DataObject) -> None:
    parts = [torch.randn(n, d, generator=torch.Generator().manual_seed(i)) for i, n in enumerate(sizes)]
    whole, rows = torch.cat(parts), FeatureRows()
    for part in parts:
        rows.append(part)
    assert rows.shape == tuple(whole.shape)
    assert torch.equal(rows[:], whole)
    if len(whole):
        assert torch.equal(torch.cat(list(chunks(rows, size))), whole)
        numbers = torch.tensor(data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=10)), dtype=torch.int64)
        assert torch.equal(rows[numbers], whole[numbers])
    with pytest.raises(IndexError):
        rows[torch.tensor([len(whole)])]
    rows.close()


def test_rows_have_one_width() -> None:
    rows = FeatureRows()
    rows.append(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="not"):
        rows.append(torch.zeros(2, 4))
