"""Published datasets: files in their formats give the right images and labels; damaged ones are refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import sys
import tarfile
import types
import urllib.error
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from file_server import Files, file_server
from PIL import Image

import genbench
from genbench import DataError, ImageData
from genbench.api.options import resolve_options
from genbench.api.specs import resolve
from genbench.builtin import datasets
from genbench.builtin.datasets import published
from genbench.builtin.datasets.published import CelebAOptions, LSUNOptions, PublishedOptions, STL10Options, celeba
from genbench.builtin.datasets.published.decode_images import square
from genbench.errors import UsageError

SPECS = {spec.name: spec for spec in published.specs()}
RNG = np.random.default_rng(0)


def load(name: str, cache: Path, **given: Any) -> ImageData:
    spec = SPECS[name]
    data = resolve(spec.load)(spec.make_options(resolve_options(spec.option_schema, given, name)), cache)
    assert isinstance(data, ImageData)
    return data


def signature(name: str, cache: Path, **given: Any) -> str:
    spec = SPECS[name]
    assert spec.signature is not None
    return str(resolve(spec.signature)(spec.make_options(resolve_options(spec.option_schema, given, name)), cache))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("genbench.builtin.download._OPENER.open", refuse)


# ----------------------------------------------------------------------------------------------------------------------
# MNIST's family


def write_mnist(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str = "MNIST") -> dict[str, Any]:
    raw = cache / name / "raw"
    raw.mkdir(parents=True)
    arrays = {"train": (noise(7, 28, 28), noise(7) % 10), "t10k": (noise(3, 28, 28), noise(3) % 10)}
    for split, (images, labels) in arrays.items():
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (raw / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    dataset = getattr(tv, name)
    monkeypatch.setattr(dataset, "resources", [(file, md5(raw / file)) for file, _ in dataset.resources])
    return arrays


@pytest.mark.parametrize(("name", "dataset"), [("mnist", "MNIST"), ("kmnist", "KMNIST")])
def test_idx_files_in_torchvisions_layout(name: str, dataset: str, tmp_path: Path, monkeypatch: Any) -> None:
    arrays = write_mnist(tmp_path, monkeypatch, dataset)
    data = load(name, tmp_path)
    assert data.train.pixels.shape == (7, 1, 28, 28)
    assert np.array_equal(data.train.pixels[:, 0], arrays["train"][0])
    assert data.test.labels.tolist() == arrays["t10k"][1].tolist()
    assert len(data.class_names) == 10
    assert data.notes == ()


def test_extracted_files_alone_are_read_with_a_note_about_missing_checksums(tmp_path: Path, monkeypatch: Any) -> None:
    arrays = write_mnist(tmp_path, monkeypatch)
    for file in list((tmp_path / "MNIST" / "raw").iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    data = load("mnist", tmp_path)
    assert np.array_equal(data.test.pixels[:, 0], arrays["t10k"][0])
    assert "no published checksum" in data.notes[0]
    assert signature("mnist", tmp_path)


def test_a_root_elsewhere_is_read_and_never_written(tmp_path: Path, monkeypatch: Any) -> None:
    write_mnist(tmp_path / "elsewhere", monkeypatch)
    assert len(load("mnist", tmp_path / "cache", root=str(tmp_path / "elsewhere")).train.pixels) == 7
    (tmp_path / "elsewhere" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(DataError, match="t10k-labels") as caught:
        load("mnist", tmp_path / "cache", root=str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere" / "MNIST" / "raw") in caught.value.cure
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before
    assert not (tmp_path / "cache").exists()
    for root in (str(tmp_path / "nowhere"), "nul\0l", "~nobody-of-this-name/x"):
        with pytest.raises(DataError, match="not a folder"):
            load("mnist", tmp_path, root=root)


# ----------------------------------------------------------------------------------------------------------------------
# CIFAR-10


class Bomb:
    """A pickle that would write a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def write_cifar10(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder = cache / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    contents = {}
    for name, _ in tv.CIFAR10.train_list + tv.CIFAR10.test_list:
        contents[name] = {"data": noise(4, 3072), "labels": (noise(4) % 10).tolist()}
        (folder / name).write_bytes(pickle.dumps(contents[name]))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}))
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(tv.CIFAR10, table, [[n, md5(folder / n)] for n, _ in getattr(tv.CIFAR10, table)])
    monkeypatch.setattr(tv.CIFAR10, "meta", {**tv.CIFAR10.meta, "md5": md5(folder / "batches.meta")})
    return contents


def test_cifar10_has_red_green_and_blue_planes_row_by_row(tmp_path: Path, monkeypatch: Any) -> None:
    contents = write_cifar10(tmp_path, monkeypatch)
    data = load("cifar10", tmp_path)
    assert data.train.pixels.shape == (20, 3, 32, 32)
    # "The first 1024 entries contain the red channel values, the next 1024 the green, and the final 1024 the blue. The
    # image is stored in row-major order": pixel (row 2, column 5) of the green plane.
    assert int(data.train.pixels[4, 1, 2, 5]) == int(contents["data_batch_2"]["data"][0, 1024 + 2 * 32 + 5])
    assert data.test.labels.tolist() == contents["test_batch"]["labels"]
    assert data.class_names[3] == "class 3"


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_pickle_with_another_checksum_is_refused_before_it_is_read(
    name: str, tmp_path: Path, monkeypatch: Any
) -> None:
    write_cifar10(tmp_path, monkeypatch)
    file = tmp_path / "cifar-10-batches-py" / name
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(DataError, match=f"{name} is damaged: its md5 is {md5(file)}") as caught:
        load("cifar10", tmp_path)
    assert f"Delete {file}" in caught.value.cure
    assert not (tmp_path / "exploded").exists()


def test_an_archive_in_the_cache_is_extracted_without_a_network(tmp_path: Path, monkeypatch: Any) -> None:
    write_cifar10(tmp_path / "made", monkeypatch)
    archive = tmp_path / "cache" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", md5(archive))
    assert len(load("cifar10", tmp_path / "cache").train.pixels) == 20


# ----------------------------------------------------------------------------------------------------------------------
# SVHN


def write_svhn(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    savemat = pytest.importorskip("scipy.io").savemat
    cache.mkdir(exist_ok=True)
    lists = {}
    for split in ("train", "test"):
        file = cache / f"{split}_32x32.mat"
        savemat(file, {"X": noise(32, 32, 3, 5), "y": np.array([[10], [1], [2], [9], [10]], dtype=np.uint8)})
        lists[split] = ["https://example.invalid", file.name, md5(file)]
    monkeypatch.setattr(tv.SVHN, "split_list", lists)
    return lists


def test_svhn_calls_the_digit_zero_class_zero(tmp_path: Path, monkeypatch: Any) -> None:
    write_svhn(tmp_path, monkeypatch)
    pixels = pytest.importorskip("scipy.io").loadmat(tmp_path / "train_32x32.mat")["X"]
    data = load("svhn", tmp_path)
    assert data.train.labels.tolist() == [0, 1, 2, 9, 0]
    assert np.array_equal(data.train.pixels[4], pixels[..., 4].transpose(2, 0, 1))
    assert data.class_names[0] == "0"


# ----------------------------------------------------------------------------------------------------------------------
# CelebA


def celeba_picture(level: int, colour: tuple[int, int, int] = (255, 0, 0)) -> Image.Image:
    """A grey image of 178×218 whose 20 upper and lower rows, outside the square, are coloured."""
    picture = Image.new("RGB", (178, 218), colour)
    picture.paste((level, level, level), (0, 20, 178, 198))
    return picture


def write_celeba(cache: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool = False) -> Path:
    folder = cache / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    for number, name in enumerate(names):
        celeba_picture(30 * number).save(folder / "img_align_celeba" / name, quality=95, subsampling=0)
    attributes = get_args(published.Attribute)[1:]
    signs = [["1" if (number + column) % 2 else "-1" for column in range(40)] for number in range(6)]
    rows = [f"{name} {' '.join(row)}" for name, row in zip(names, signs, strict=True)]
    texts = {
        "list_attr_celeba.txt": "6\n" + " ".join(attributes) + " \n" + "\n".join(rows) + "\n",
        "identity_CelebA.txt": "".join(f"{name} 1\n" for name in names),
        "list_bbox_celeba.txt": "6\nimage_id x_1 y_1 width height\n" + "".join(f"{n} 1 2 3 4\n" for n in names),
        "list_landmarks_align_celeba.txt": "6\nlefteye_x\n" + "".join(f"{n} 1 2 3 4 5 6 7 8 9 10\n" for n in names),
        "list_eval_partition.txt": "".join(f"{n} {p}\n" for n, p in zip(names, (0, 0, 0, 1, 2, 2), strict=True)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="ascii")
    sums = {name: md5(folder / name) for name in texts}
    if zipped:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for name in names:
                archive.write(folder / "img_align_celeba" / name, f"img_align_celeba/{name}")
                (folder / "img_align_celeba" / name).unlink()
        (folder / "img_align_celeba").rmdir()
        sums["img_align_celeba.zip"] = md5(folder / "img_align_celeba.zip")
    table = [(number, sums.get(name, known), name) for number, known, name in tv.CelebA.file_list]
    monkeypatch.setattr(tv.CelebA, "file_list", table)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba_keeps_the_published_partition_and_the_centred_square(
    zipped: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    write_celeba(tmp_path, monkeypatch, zipped)
    data = load("celeba", tmp_path, size=16)
    assert data.train.labels is None
    assert data.train.pixels.shape == (3, 3, 16, 16)
    assert data.test.pixels.shape == (2, 3, 16, 16)
    for images, levels in ((data.train.pixels, (0, 30, 60)), (data.test.pixels, (120, 150))):
        for image, level in zip(images[:, :, 4:12, 4:12], levels, strict=True):  # no red from outside the square
            assert (image.int() - level).abs().max() <= 2
    assert signature("celeba", tmp_path)


def test_an_attribute_makes_two_classes(tmp_path: Path, monkeypatch: Any) -> None:
    write_celeba(tmp_path, monkeypatch)
    data = load("celeba", tmp_path, size=8, attribute="Arched_Eyebrows")  # the second column
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.test.labels.tolist() == [1, 0]
    assert data.class_names == ("not Arched_Eyebrows", "Arched_Eyebrows")
    with pytest.raises(UsageError, match="Did you mean 'Smiling'"):
        load("celeba", tmp_path, attribute="Smilling")


def test_the_error_for_a_damaged_list_archive_or_image_names_it(tmp_path: Path, monkeypatch: Any) -> None:
    folder = write_celeba(tmp_path, monkeypatch, zipped=True)
    archive = folder / "img_align_celeba.zip"
    content = archive.read_bytes()
    archive.write_bytes(content[:-5])
    with pytest.raises(DataError, match=r"img_align_celeba\.zip is damaged"):
        load("celeba", tmp_path)
    assert not (folder / "img_align_celeba").exists()
    archive.write_bytes(content)
    load("celeba", tmp_path, size=4)
    (folder / "img_align_celeba" / "000002.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"000002\.jpg cannot be read"):
        load("celeba", tmp_path, size=4)
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n", encoding="ascii")
    with pytest.raises(DataError, match=r"list_eval_partition\.txt is damaged"):
        load("celeba", tmp_path, size=4)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


def test_a_postscript_file_among_the_images_never_starts_a_program(tmp_path: Path, monkeypatch: Any) -> None:
    started: list[object] = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given, **_: started.append(given))
    folder = write_celeba(tmp_path, monkeypatch)
    (folder / "img_align_celeba" / "000002.jpg").write_bytes(EPS)
    with pytest.raises(DataError, match=r"000002\.jpg cannot be read"):
        load("celeba", tmp_path, size=4)
    monkeypatch.setitem(sys.modules, "lmdb", types.SimpleNamespace(open=FakeDatabase, Error=RuntimeError))
    for split in ("train", "val"):
        (tmp_path / f"tower_{split}_lmdb").mkdir()
        (tmp_path / f"tower_{split}_lmdb" / "data.mdb").touch()
        (tmp_path / f"tower_{split}_lmdb" / "0.webp").write_bytes(EPS)
    with pytest.raises(DataError, match="image 0 cannot be read"):
        load("lsun", tmp_path, category="tower", size=8)
    assert started == []


def test_a_square_is_centred_and_resizing_is_antialiased() -> None:
    picture = Image.new("L", (7, 9), 0)
    picture.paste(200, (2, 3, 5, 6))  # the centred 3×3
    assert square(picture, 3, crop=3).tolist() == np.full((3, 3, 3), 200).tolist()
    with pytest.raises(ValueError, match="7×9, smaller than the crop of 8"):
        square(picture, 4, crop=8)
    checkers = Image.fromarray((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))
    shrunk = square(checkers, 8)
    assert np.abs(shrunk.astype(int) - 127.5).max() < 8  # taking every eighth pixel would give 0 or 255


# ----------------------------------------------------------------------------------------------------------------------
# STL-10


def write_stl10(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    folder = cache / "stl10_binary"
    folder.mkdir(parents=True)
    arrays = {
        "train_X": noise(4, 3, 96, 96),
        "train_y": np.array([1, 10, 5, 2], dtype=np.uint8),
        "unlabeled_X": noise(6, 3, 96, 96),
        "test_X": noise(3, 3, 96, 96),
        "test_y": np.array([3, 1, 10], dtype=np.uint8),
    }
    for name, array in arrays.items():
        array.tofile(folder / f"{name}.bin")
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(tv.STL10, table, [[n, md5(folder / n)] for n, _ in getattr(tv.STL10, table)])
    return arrays


def test_stl10_agrees_with_torchvisions_own_class(tmp_path: Path, monkeypatch: Any) -> None:
    arrays = write_stl10(tmp_path, monkeypatch)
    data = load("stl10", tmp_path, size=96, split="train")
    peer = tv.STL10(tmp_path, split="train")
    assert np.array_equal(data.train.pixels, peer.data)
    assert data.train.labels.tolist() == peer.labels.tolist() == [0, 9, 4, 1]
    assert data.test.labels.tolist() == [2, 0, 9]
    assert np.array_equal(data.train.pixels[0, 1], arrays["train_X"][0, 1].T)  # stored column by column
    assert data.class_names[9] == "truck"


@pytest.mark.parametrize(("split", "count"), [("unlabeled", 6), ("train+unlabeled", 10)])
def test_unlabelled_images_have_no_labels(split: str, count: int, tmp_path: Path, monkeypatch: Any) -> None:
    write_stl10(tmp_path, monkeypatch)
    data = load("stl10", tmp_path, split=split, size=8)
    assert data.train.pixels.shape == (count, 3, 8, 8)
    assert data.train.labels is None
    assert data.test.labels is None


# ----------------------------------------------------------------------------------------------------------------------
# LSUN


def test_lsun_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(DataError, match="not installed") as caught:
        load("lsun", tmp_path)
    assert "pip install lmdb" in caught.value.cure


class FakeDatabase:
    """The parts of lmdb's environment, transaction and cursor in use, backed by the files of a folder."""

    def __init__(self, folder: str, **_: Any) -> None:
        self.values = [file.read_bytes() for file in sorted(Path(folder).glob("*.webp"))]

    def __enter__(self) -> FakeDatabase:
        return self

    def __exit__(self, *_: object) -> None: ...

    def begin(self, write: bool) -> FakeDatabase:
        assert not write
        return self

    def stat(self) -> dict[str, int]:
        return {"entries": len(self.values)}

    def cursor(self) -> FakeDatabase:
        return self

    def iternext(self, keys: bool, values: bool) -> Any:
        assert values and not keys
        return iter(self.values)


def test_lsun_reads_the_databases_of_a_category_and_writes_nothing_to_the_working_directory(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", types.SimpleNamespace(open=FakeDatabase, Error=RuntimeError))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError, match="no database") as caught:
        load("lsun", tmp_path, category="tower")
    assert "tower_train" in caught.value.cure
    for split, count in (("train", 3), ("val", 1)):
        folder = tmp_path / f"tower_{split}_lmdb"
        folder.mkdir()
        (folder / "data.mdb").touch()
        for number in range(count):
            Image.new("RGB", (20, 12), (40 * number, 0, 0)).save(folder / f"{number}.webp", lossless=True)
    data = load("lsun", tmp_path, category="tower", size=8)
    assert data.train.pixels[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert data.test.pixels.shape == (1, 3, 8, 8)
    assert list((tmp_path / "here").iterdir()) == []


# ----------------------------------------------------------------------------------------------------------------------
# Downloads of files in the published formats, from a server on this machine


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.undo()  # of `_no_network`
    with file_server() as files:
        yield files


def packed(folder: Path, archive: Path) -> bytes:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    return archive.read_bytes()


def offer_mnist(server: Files, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(made, monkeypatch)
    server.content |= {f"/{file.name}": file.read_bytes() for file in (made / "MNIST" / "raw").iterdir()}
    monkeypatch.setattr(tv.MNIST, "mirrors", [f"{server.url}/closed/", f"{server.url}/"])


def offer_cifar10(server: Files, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(made, monkeypatch)
    server.content["/cifar"] = packed(made / "cifar-10-batches-py", made / "archive")
    monkeypatch.setattr(tv.CIFAR10, "url", f"{server.url}/cifar")
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", md5(made / "archive"))


def offer_svhn(server: Files, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = write_svhn(made, monkeypatch)
    server.content |= {f"/{name}": (made / name).read_bytes() for _, name, _ in lists.values()}
    there = {split: [f"{server.url}/{name}", name, known] for split, (_, name, known) in lists.items()}
    monkeypatch.setattr(tv.SVHN, "split_list", there)


def offer_celeba(server: Files, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_celeba(made, monkeypatch, zipped=True)
    for number, _, name in tv.CelebA.file_list:
        server.content[f"/{number}"] = (folder / name).read_bytes()
        if name == "img_align_celeba.zip":  # as Google Drive does with large files
            hidden = f'<input type="hidden" name="id" value="{number}">'
            server.pages[f"/{number}"] = f'<form id="download-form" action="/confirmed">{hidden}</form>'.encode()
            server.content[f"/confirmed?id={number}"] = (folder / name).read_bytes()
    monkeypatch.setattr(celeba, "_URL", f"{server.url}/{{}}")


def offer_stl10(server: Files, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10(made, monkeypatch)
    server.content["/stl10"] = packed(made / "stl10_binary", made / "archive")
    monkeypatch.setattr(tv.STL10, "url", f"{server.url}/stl10")
    monkeypatch.setattr(tv.STL10, "tgz_md5", md5(made / "archive"))


OFFERED: dict[str, tuple[Callable[[Files, Path, pytest.MonkeyPatch], None], tuple[int, int]]] = {
    "mnist": (offer_mnist, (7, 3)),
    "cifar10": (offer_cifar10, (20, 4)),
    "svhn": (offer_svhn, (5, 5)),
    "celeba": (offer_celeba, (3, 2)),
    "stl10": (offer_stl10, (6, 3)),
}


@pytest.mark.parametrize("name", OFFERED)
def test_a_dataset_is_downloaded_once_even_if_the_connection_ends(
    name: str, server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, counts = OFFERED[name]
    offer(server, tmp_path / "made", monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.cut_after = [10_000, 5] if server.pages else [5]  # a page is answered before the file
    data = load(name, tmp_path / "cache")
    assert (len(data.train.pixels), len(data.test.pixels)) == counts
    assert "bytes=5-" in [wanted for _, wanted in server.asked]
    server.asked.clear()
    assert torch.equal(torch.as_tensor(load(name, tmp_path / "cache").train.pixels), torch.as_tensor(data.train.pixels))
    assert server.asked == []


@pytest.mark.parametrize("name", OFFERED)
def test_a_download_that_fails_names_the_cause_and_the_remedy(
    name: str, server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OFFERED[name][0](server, tmp_path / "made", monkeypatch)
    server.content = {path: content[::-1] for path, content in server.content.items()}
    with pytest.raises(
        DataError, match=r"downloading it failed: the file at http.* has changed|closed/.* is not there any more"
    ) as caught:
        load(name, tmp_path / "cache")
    assert str(tmp_path / "cache") in caught.value.cure
    assert signature(name, tmp_path / "cache") == ""


@pytest.mark.slow
def test_a_run_downloads_its_dataset(server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_cifar10(server, tmp_path / "made", monkeypatch)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    server.cut_after = [1000]
    results = genbench.run(
        models=["gan"], datasets=["cifar10"], images=16, batch_size=4, samples=4, metrics=["diversity"],
        in_process=True, out=tmp_path / "run",
    )  # fmt: skip
    assert [cell.status for cell in results] == ["ok"]
    assert [wanted for _, wanted in server.asked] == ["", "bytes=1000-"]


# ----------------------------------------------------------------------------------------------------------------------
# All of them


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "train-images-idx3-ubyte.gz"),
        ("kmnist", "t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar-10-python.tar.gz"),
        ("svhn", "test_32x32.mat"),
        ("celeba", "img_align_celeba.zip"),
        ("stl10", "stl10_binary.tar.gz"),
    ],
)
def test_without_a_network_the_error_says_which_files_to_put_where(name: str, file: str, tmp_path: Path) -> None:
    assert signature(name, tmp_path) == ""
    with pytest.raises(DataError, match="downloading it failed") as caught:
        load(name, tmp_path)
    assert file in caught.value.cure
    assert str(tmp_path) in caught.value.cure


WRITERS: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Any], str]] = {
    "mnist": (write_mnist, "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
    "cifar10": (write_cifar10, "cifar-10-batches-py/batches.meta"),
    "celeba": (write_celeba, "celeba/identity_CelebA.txt"),
    "stl10": (write_stl10, "stl10_binary/unlabeled_X.bin"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_signature_changes_only_with_the_files(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    write, file = WRITERS[name]
    write(tmp_path, monkeypatch)
    first = signature(name, tmp_path)
    load(name, tmp_path)
    assert signature(name, tmp_path) == first != ""
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes() + b"x")
    assert signature(name, tmp_path) != first


def test_declared_shapes_follow_size_and_channels() -> None:
    assert SPECS["celeba"].shape({"size": 128}) == (3, 128, 128)
    assert SPECS["image-folder"].shape({"size": 32, "channels": 1}) == (1, 32, 32)
    assert SPECS["svhn"].train_size == 73_257
    assert all(spec.licence and spec.source for spec in SPECS.values())
    assert {spec.name for spec in datasets.genbench_datasets()} >= set(SPECS)


def test_defaults_are_those_of_the_papers() -> None:
    assert CelebAOptions() == CelebAOptions(root="", size=64, crop=178, attribute="none")
    assert (STL10Options().split, LSUNOptions().category, PublishedOptions().root) == ("unlabeled", "bedroom", "")


def picture(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)


def folder_levels(images: Any) -> list[int]:
    return [int(level) for level in torch.as_tensor(images)[:, 0, 0, 0]]


def test_an_image_folder_with_its_own_split(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "train" / "dog" / f"{number}.png", number)
        picture(tmp_path / "train" / "cat" / "deeper" / f"{number}.png", 10 + number)
    picture(tmp_path / "val" / "dog" / "a.png", 20)
    picture(tmp_path / "val" / "cat" / "a.png", 21)
    (tmp_path / "train" / "dog" / "broken.png").write_bytes(b"no")
    data = load("image-folder", tmp_path / "cache", path=str(tmp_path), size=4, channels=1)
    assert data.class_names == ("cat", "dog")
    assert folder_levels(data.train.pixels) == [10, 11, 12, 13, 0, 1, 2, 3]
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert folder_levels(data.test.pixels) == [21, 20]
    assert "train/dog/broken.png" in data.notes[0]
    picture(tmp_path / "test" / "dog" / "a.png", 30)  # test comes before val
    with pytest.raises(DataError, match="different classes: cat"):
        load("image-folder", tmp_path / "cache", path=str(tmp_path), size=4)


def test_an_image_folder_without_a_split_holds_out_every_fifth(tmp_path: Path) -> None:
    for name in ("train", "bus"):  # a class may be called train
        for number in range(5):
            picture(tmp_path / name / f"{number}.png", number)
    data = load("image-folder", tmp_path, path=str(tmp_path), size=4)
    assert data.class_names == ("bus", "train")
    assert folder_levels(data.test.pixels) == [4, 4]
    assert data.train.pixels.shape == (8, 3, 4, 4)


def test_an_image_folder_counts_the_images_left_out_because_of_their_suffix(tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / "cat" / f"{number}.png", number)
    (tmp_path / "cat" / "phone.jfif").write_bytes((tmp_path / "cat" / "0.png").read_bytes())
    (note,) = load("image-folder", tmp_path / "cache", path=str(tmp_path), size=4).notes
    assert note.startswith("1 image was left out because of the suffix: cat/phone.jfif (PNG)")


def test_folders_with_another_layout_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "flat" / "a.png", 0)
    picture(tmp_path / "holes" / "full" / "a.png", 0)
    (tmp_path / "holes" / "empty").mkdir()
    for name, what in (("flat", "class folder"), ("holes", "empty"), ("nowhere", "does not exist")):
        with pytest.raises(DataError, match=what):
            load("image-folder", tmp_path, path=str(tmp_path / name))
    with pytest.raises(DataError, match="image-folder:PATH"):
        load("image-folder", tmp_path, path=" ")
    with pytest.raises(DataError, match="neither colour nor grey"):
        load("image-folder", tmp_path, path=str(tmp_path / "holes"), channels=2)


def test_a_decompression_bomb_is_refused_with_its_number(tmp_path: Path, monkeypatch: Any) -> None:
    from genbench.builtin.datasets.published.decode_images import decode

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    buffer = io.BytesIO()
    Image.new("L", (15, 10)).save(buffer, "PNG")
    with pytest.raises(DataError, match="image 0 cannot be read"):
        decode([buffer.getvalue()], 1, lambda content: Image.open(io.BytesIO(content)), 4, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "stl10", "celeba"])
def test_without_torchvision_the_error_says_what_to_install(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets.utils", None)  # its import fails
    with pytest.raises(DataError, match="read by torchvision") as caught:
        load(name, tmp_path)
    assert "pip install torchvision" in caught.value.cure
