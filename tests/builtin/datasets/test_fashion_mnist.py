"""Fashion-MNIST: the IDX format, the shipped test images, and the sources of the full set."""

import functools
import gzip
import hashlib
import http.server
import math
import shutil
import struct
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench import DataError
from genbench.builtin.datasets import fashion_mnist, fashion_mnist_mini
from genbench.builtin.datasets.fashion_mnist import CONTENT, DEBIAN
from genbench.builtin.datasets.idx import parse_idx, read_published
from genbench.data.loading import load_data
from genbench.plugins.catalogue import combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.results.schema import Choice, PluginOrigin


def idx(*shape: int, elements: bytes | None = None) -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + (bytes(i % 251 for i in range(math.prod(shape))) if elements is None else elements)


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """Four small files in a folder, in place of the published ones; the Debian package is absent."""
    source = tmp_path / "source"
    source.mkdir()
    contents = {
        "train-images-idx3-ubyte.gz": idx(6, 28, 28),
        "train-labels-idx1-ubyte.gz": idx(6),
        "t10k-images-idx3-ubyte.gz": idx(3, 28, 28),
        "t10k-labels-idx1-ubyte.gz": idx(3),
    }
    for name, content in contents.items():
        (source / name).write_bytes(gzip.compress(content))
        monkeypatch.setitem(CONTENT, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "no-debian")
    return source


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_idx_has_the_shape_its_header_states_last_dimension_fastest(shape):
    array = parse_idx(idx(*shape))
    assert array.dtype == torch.uint8
    assert array.shape == tuple(shape)
    assert array.flatten().tolist() == [i % 251 for i in range(math.prod(shape))]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "header"),
        (b"PK\x03\x04", "header"),
        (b"\0\0\x0d\x01" + bytes(8), "type 0x0d"),
        (b"\0\0\x08\x03" + bytes(4), "inside its header"),
        (idx(2, 2, elements=b"abc"), "3 elements, but its header states 4"),
        (idx(2, 2, elements=b"abcde"), "5 elements, but its header states 4"),
    ],
)
def test_other_content_than_idx_is_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        parse_idx(content)


def test_the_hash_is_of_the_content_not_of_its_compression(tmp_path):
    content = idx(2, 3)
    sha256 = hashlib.sha256(content).hexdigest()
    for level in (0, 9):
        (tmp_path / "a.gz").write_bytes(gzip.compress(content, compresslevel=level))
        assert read_published(tmp_path / "a.gz", sha256, "cure").shape == (2, 3)


def test_the_error_for_a_damaged_file_names_it_and_the_remedy(tmp_path):
    whole = gzip.compress(idx(50, 50))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", whole[:-20], bytes(flipped), gzip.compress(idx(50, 51)), b"<html>not found</html>"):
        (tmp_path / "a.gz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.gz") as caught:
            read_published(tmp_path / "a.gz", hashlib.sha256(idx(50, 50)).hexdigest(), "Reinstall it.")
        assert caught.value.cure == "Reinstall it."


def test_the_shipped_images_are_the_10000_published_ones_in_a_fixed_split(tmp_path):
    data = fashion_mnist_mini.load(None, tmp_path / "unused")
    assert data.train.pixels.shape == (8000, 1, 28, 28)
    assert data.test.pixels.shape == (2000, 1, 28, 28)
    assert data.train.pixels.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    counts = torch.bincount(data.train.labels) + torch.bincount(data.test.labels)
    assert counts.tolist() == [1000] * 10  # as the paper states
    assert torch.bincount(data.test.labels).min() >= 170  # about a fifth of each class
    assert data.class_names[data.train.labels[0]] == "Ankle boot"  # the first published test image
    assert len(data.class_names) == 10
    assert data.notes == ()


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
)
def test_the_shipped_files_are_the_published_ones_except_for_the_gzip_header(name, md5):
    # Debian rewrote only the header; with its name and time put back, the file has the md5 that Zalando published.
    shipped = (Path(fashion_mnist_mini.__file__).parent / "data" / name).read_bytes()
    time = struct.pack("<I", 1504176627)  # 2017-08-31 10:50:27 UTC
    header = b"\x1f\x8b\x08\x08" + time + b"\x00\x03" + name.removesuffix(".gz").encode() + b"\0"
    assert hashlib.md5(header + shipped[10:]).hexdigest() == md5


def test_every_fifth_published_image_is_held_out_and_the_others_are_trained_on(tmp_path):
    data = fashion_mnist_mini.load(None, tmp_path)
    pixels, labels = fashion_mnist.read_split(Path(fashion_mnist_mini.__file__).parent / "data", "t10k", "")
    assert torch.equal(data.test.pixels[7], pixels[39])
    assert torch.equal(data.train.pixels[8], pixels[10])
    assert torch.equal(data.test.labels, labels.reshape(2000, 5)[:, 4])
    assert torch.equal(data.train.labels, labels.reshape(2000, 5)[:, :4].flatten())


def test_the_licence_ships_with_the_images():
    text = (Path(fashion_mnist_mini.__file__).parent / "data" / "LICENSE-fashion-mnist").read_text(encoding="utf-8")
    assert "MIT License" in text
    assert "2017 Zalando SE" in text


def test_a_cache_that_torchvision_filled_is_used(tiny, tmp_path):
    raw = tmp_path / "cache" / "FashionMNIST" / "raw"
    raw.parent.mkdir(parents=True)
    tiny.rename(raw)
    data = fashion_mnist.load(None, tmp_path / "cache")
    assert data.train.pixels.shape == (6, 1, 28, 28)
    assert data.test.labels.tolist() == [0, 1, 2]


def test_the_error_for_a_damaged_cache_says_to_delete_it(tiny, tmp_path):
    raw = tmp_path / "cache" / "FashionMNIST" / "raw"
    raw.parent.mkdir(parents=True)
    tiny.rename(raw)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(4)))
    with pytest.raises(DataError, match="damaged") as caught:
        fashion_mnist.load(None, tmp_path / "cache")
    assert str(raw) in caught.value.cure


def test_debian_is_used_where_the_cache_is_incomplete(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tiny)
    raw = tmp_path / "cache" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"cut short")
    assert fashion_mnist.load(None, tmp_path / "cache").test.pixels.shape == (3, 1, 28, 28)


def test_a_complete_cache_takes_precedence_over_debian(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tiny)
    raw = tmp_path / "cache" / "FashionMNIST" / "raw"
    shutil.copytree(tiny, raw)
    (tiny / "t10k-images-idx3-ubyte.gz").write_bytes(b"damaged")
    assert len(fashion_mnist.load(None, tmp_path / "cache").test.pixels) == 3


@pytest.fixture
def mirror(tiny, monkeypatch):
    """A local server instead of torchvision's mirror."""
    torchvision_mnist = pytest.importorskip("torchvision.datasets").FashionMNIST

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tiny)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(torchvision_mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    sums = [(name, hashlib.md5((tiny / name).read_bytes()).hexdigest()) for name in CONTENT]
    monkeypatch.setattr(torchvision_mnist, "resources", sums)
    yield tiny
    server.shutdown()
    server.server_close()


def test_a_download_is_verified_cached_and_not_repeated(mirror, tmp_path, capfd):
    assert len(fashion_mnist.load(None, tmp_path / "cache").train.pixels) == 6
    for file in mirror.iterdir():
        file.unlink()
    assert len(fashion_mnist.load(None, tmp_path / "cache").train.pixels) == 6
    assert sorted(p.name for p in (tmp_path / "cache" / "FashionMNIST").iterdir()) == ["raw"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["missing", "altered"])
def test_a_failed_download_says_where_to_put_the_files_and_goes_on_later(mirror, tmp_path, fault):
    file = mirror / "t10k-labels-idx1-ubyte.gz"
    content = file.read_bytes()
    if fault == "missing":
        file.unlink()
    else:
        file.write_bytes(b"someone else's labels")
    with pytest.raises(DataError, match="downloading it failed") as caught:
        fashion_mnist.load(None, tmp_path / "cache")
    assert "apt install dataset-fashion-mnist" in caught.value.cure
    assert str(tmp_path / "cache" / "FashionMNIST" / "raw") in caught.value.cure
    assert "train-images-idx3-ubyte.gz" in caught.value.cure
    assert not (tmp_path / "cache" / "FashionMNIST" / "raw" / file.name).exists()
    file.write_bytes(content)
    assert len(fashion_mnist.load(None, tmp_path / "cache").train.pixels) == 6


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_debian_package_contains_the_published_set(tmp_path):
    data = fashion_mnist.load(None, tmp_path / "cache")
    assert torch.bincount(data.train.labels).tolist() == [6000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    # Published mean and deviation of the training pixels on [0, 1].
    pixels = data.train.pixels.double() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3530, abs=5e-5)


def test_the_shipped_images_are_prepared_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    catalogue = combine(map(load_plugin, builtin_plugins()))
    entry = catalogue.require("datasets", "fashion-mnist-mini")
    choice = Choice(name=entry.spec.name, origin=PluginOrigin(plugin="", distribution="", version=""))
    first = load_data(choice, (1, 28, 28), catalogue)
    monkeypatch.setattr(fashion_mnist_mini, "read_split", None)  # nothing is decoded any more
    second = load_data(choice, (1, 28, 28), catalogue)
    assert second.mapped
    assert second.hash == first.hash
    assert torch.equal(second.train_pixels, first.train_pixels)
    assert (len(second.train_pixels), len(second.test_pixels)) == (8000, 2000)
