"""Crafted and damaged arrays: refused with the cause, before anything is unpickled, inflated or allocated for them."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genbench.data.progress import ignore_progress
from genbench.errors import DataError
from genbench.features.statistics_file import read_statistics
from genbench.features.stored_array import ArrayFault, opened_archive, read_data, read_header
from genbench.imagesets.array_file import holds_statistics, npy_source, npz_source
from genbench.imagesets.source import ReadReport
from genbench.measure.memory import PeakMemory, resident_bytes


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """An .npy with any header, and possibly another length of it."""
    text = header.encode()
    count = len(text) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", count) + text + data


def shaped(shape: str, dtype: str = "'|u1'", data: bytes = bytes(4000)) -> bytes:
    return npy(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n", data)


class Trap:
    """An object whose unpickling would leave a trace."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("trap",)


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([[[Trap()]]] * 5, dtype=object), allow_pickle=True)
    return buffer.getvalue()


CRAFTED: dict[str, bytes] = {
    "empty": b"",
    "text": b"this is no array",
    "only the magic": b"\x93NUMPY",
    "cut in the header": shaped("(5, 28, 28)")[:40],
    "cut in the data": shaped("(5, 28, 28)")[:-3000],
    "unknown version": npy("{}", version=(9, 0)),
    "a header of 4 GB": npy("{", version=(2, 0), length=2**32 - 1),
    "a long header": npy("{" + " " * 60_000, version=(2, 0)),
    "deeply nested": npy("(" * 9000 + ")" * 900),
    "no dictionary": npy("5"),
    "missing keys": npy("{'descr': '|u1'}"),
    "a call": npy("{'descr': '|u1', 'fortran_order': False, 'shape': __import__('os').mkdir('trap')}"),
    "an unknown type": shaped("(5, 28, 28)", "'|z9'"),
    "a type that is a number": shaped("(5, 28, 28)", "7"),
    "more than the file": shaped("(5000, 28, 28)"),
    "far more than memory": shaped("(1000000, 100000, 100000)"),
    "beyond 64 bits": shaped(f"({2**62}, 8, 8)"),
    "a number beyond 64 bits": shaped(f"({10**30}, 8, 8)"),
    "wrapping to zero": shaped(f"({2**32}, {2**32}, 1)"),
    "a number of 5,000 digits": shaped(f"({'9' * 5000}, 8, 8)"),
    "negative": shaped("(-5, 28, 28)"),
    "negative twice": shaped("(5, -28, -28)"),
    "truth values": shaped("(True, True, True)"),
    "no height": shaped("(5, 0, 28)"),
    "no width": shaped("(5, 28, 0, 3)"),
    "no channels": shaped("(5, 28, 28, 0)"),
    "a scalar": shaped("()"),
    "forty axes": shaped(f"({'1, ' * 40})"),
    "huge items": shaped("(5, 28, 28)", "'|S1000000000'"),
    "no items": shaped("(5, 28, 28)", "'|S0'"),
    "fields": shaped("(5, 28, 28)", "[('a', '|u1')]"),
    "nested items": shaped("(5, 28)", "('|u1', (28,))"),
    "complex": shaped("(5, 2, 2)", "'<c16'"),
    "an image larger than Pillow reads": shaped("(0, 100000, 100000)"),
    "objects": pickled(),
    "an object in a field": shaped("(5, 28, 28)", "[('a', '|O')]"),
    "a bare pickle": b"\x80\x04\x95" + pickled(),
}


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.parametrize("suffix", [".npy", ".npz", "compressed.npz"])
def test_crafted_arrays_are_refused_with_cause_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        path.write_bytes(CRAFTED[name])
    else:
        how = zipfile.ZIP_STORED if suffix == ".npz" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", how) as archive:
            archive.writestr("images.npy", CRAFTED[name])
    with pytest.raises(DataError) as caught:
        source = (npy_source if suffix == ".npy" else npz_source)(path)
        list(source.batches(50, ReadReport(), ignore_progress))
    assert caught.value.exit_code in (2, 5)
    assert str(path) in caught.value.cause
    assert caught.value.cure
    assert "Error" not in str(caught.value)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("name", [name for name in CRAFTED if "Pillow" not in name])
@pytest.mark.parametrize("member", ["mu", "sigma", "factor", "n", "spec"])
def test_crafted_statistics_are_refused_with_cause_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, member: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for own, array in (("mu", np.zeros(4)), ("sigma", np.eye(4)), ("n", np.int64(9)), ("spec", np.str_("{}"))):
            if own != member:
                with archive.open(f"{own}.npy", "w") as file:
                    np.save(file, array)
        archive.writestr(f"{member}.npy", CRAFTED[name])
    with pytest.raises(DataError) as caught:
        read_statistics(path)
    assert str(path) in caught.value.cause
    assert caught.value.cure
    assert "Error" not in str(caught.value)
    assert not (tmp_path / "trap").exists()


def lying(path: Path, change: Callable[[bytearray, int], None]) -> Path:
    """An archive of one good array, of which the central directory was changed at the entry's offset."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        np.save(file, np.zeros((5, 8, 8), np.uint8))
    content = bytearray(path.read_bytes())
    change(content, content.index(b"PK\x01\x02"))
    path.write_bytes(content)
    return path


def put(place: int, form: str, value: int) -> Callable[[bytearray, int], None]:
    def change(content: bytearray, entry: int) -> None:
        struct.pack_into(form, content, entry + place, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        put(8, "<H", 1),  # encrypted
        put(10, "<H", 12),  # bzip2
        put(10, "<H", 99),  # an unknown method
        put(10, "<H", 0),  # stored, although it is compressed
        put(16, "<I", 7),  # another checksum
        put(20, "<I", 2**32 - 2),  # the compressed size
        put(20, "<I", 3),
        put(24, "<I", 2**32 - 2),  # the size
        put(24, "<I", 3),
        put(42, "<I", 12345),  # where it is
        put(46, "<I", 0),  # its name
    ],
)
def test_archives_whose_directory_lies_are_refused(tmp_path: Path, change: Callable[[bytearray, int], None]) -> None:
    path = lying(tmp_path / "a.npz", change)
    with pytest.raises(DataError) as caught:
        assert not holds_statistics(path)
        list(npz_source(path).batches(50, ReadReport(), ignore_progress))
    assert str(path) in caught.value.cause
    assert caught.value.cure
    assert "Error" not in str(caught.value)


def test_every_changed_byte_gives_the_array_or_a_fault(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = lying(tmp_path / "a.npz", lambda content, entry: None)
    whole = path.read_bytes()
    for place in rng.permutation(len(whole))[:150]:
        content = bytearray(whole)
        content[place] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            batches = list(npz_source(path).batches(50, ReadReport(), ignore_progress))
            assert sum(len(batch) for batch in batches) <= 5
        except DataError as error:
            assert str(path) in error.cause


def test_two_arrays_of_one_name_are_ambiguous(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for value in (0, 1):
            with archive.open("images.npy", "w") as file:
                np.save(file, np.full((5, 8, 8), value, np.uint8))
    with pytest.raises(DataError, match="2 arrays called 'images'"):
        npz_source(tmp_path / "a.npz")


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path, order: Any) -> None:
    array = np.asarray(np.arange(24, dtype=">f4").reshape(2, 3, 4), order=order)
    np.save(tmp_path / "a.npy", array)
    with (tmp_path / "a.npy").open("rb") as file:
        assert np.array_equal(read_data(file, read_header(file, (tmp_path / "a.npy").stat().st_size)), array)
    np.savez_compressed(tmp_path / "a.npz", a=array, b=np.int64(3))
    with opened_archive(tmp_path / "a.npz") as archive:
        assert archive.names == ["a", "b"]
        with archive.opened("a") as (file, header):
            assert np.array_equal(read_data(file, header), array)
    with pytest.raises(ArrayFault, match=r"not an \.npz"), opened_archive(tmp_path / "a.npy"):
        pass


BOMB = r"""
import re, sys
from pathlib import Path
from genbench.features.statistics_file import read_statistics
print(len(read_statistics(Path(sys.argv[1])).statistics.mean))
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_members_that_are_not_statistics_are_not_inflated(tmp_path: Path) -> None:
    """A file of 2 MB, of which another member has 2 GB: memory and time are those of the statistics alone."""
    peaks = []
    for size in (0, 2 << 30):
        path = tmp_path / f"{size}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in (("mu", np.zeros(4)), ("sigma", np.eye(4))):
                with archive.open(f"{name}.npy", "w") as file:
                    np.save(file, array)
            if size:
                with archive.open("else.npy", "w", force_zip64=True) as file:
                    file.write(shaped(f"({size},)", data=b""))
                    for _ in range(size >> 24):
                        file.write(bytes(1 << 24))
        done = subprocess.run([sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, check=True)
        features, peak = map(int, done.stdout.split())
        assert features == 4
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 50_000  # KiB


def test_a_covariance_that_the_file_holds_but_nobody_needs_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    d = 20_000
    with zipfile.ZipFile(tmp_path / "s.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("mu.npy", "w") as file:
            np.save(file, np.zeros(d))
        with archive.open("sigma.npy", "w", force_zip64=True) as file:
            file.write(shaped(f"({d}, {d})", "'|u1'", b""))
            for _ in range(d):
                file.write(bytes(d))
    before, peak = resident_bytes(), PeakMemory(torch.device("cpu"))
    with peak.steps(), pytest.raises(DataError, match="20,000 features"):
        read_statistics(tmp_path / "s.npz")
    used = peak.read(0).training_rss
    assert used is None or used < before + 100e6


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"sigma": np.diag([1e300] * 4)}, "entries above"),
        ({"mu": np.full(4, 1e200)}, "entries above"),
        ({"n": np.uint64(2**64 - 1)}, "n is"),
        ({"n": np.array([9])}, "n has the shape"),
        ({"n": np.int64(-9)}, "n is"),
        ({"spec": np.str_("[" * 100_000)}, "spec is not JSON"),
        ({"spec": np.str_('{"resize": ["a"]}')}, "spec has entries"),
        ({"spec": np.array(["{}", "{}"])}, "spec is not a text"),
        ({"factor": np.zeros((10_000, 4))}, "factor has the shape"),
    ],
)
def test_values_that_no_covariance_has_are_refused(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    np.savez(tmp_path / "s.npz", **({"mu": np.zeros(4), "sigma": np.eye(4)} | arrays))
    with pytest.raises(DataError, match=fault):
        read_statistics(tmp_path / "s.npz")


def test_large_images_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genbench.imagesets.array_file._READ_BYTES", 3 * 8 * 8)
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images)
    batches = list(npy_source(tmp_path / "a.npy").batches(50, ReadReport(), ignore_progress))
    assert [len(batch) for batch in batches] == [3, 3, 3, 1]
    assert torch.equal(torch.cat(batches)[:, 0], torch.from_numpy(images))
