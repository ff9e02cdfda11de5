"""Arrays for decoding: large ones are in an unnamed file or, without space on the disk, in memory."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genbench import DataError
from genbench.builtin.datasets import FolderOptions, pixel_buffer
from genbench.builtin.datasets.folder import load
from genbench.builtin.datasets.pixel_buffer import allocate, select


def test_a_large_array_is_mapped_from_an_unnamed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_buffer, "IN_MEMORY", 100)
    small, large = allocate((1, 1, 10, 10), tmp_path / "cache"), allocate((2, 1, 10, 10), tmp_path / "cache")
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    assert list((tmp_path / "cache").iterdir()) == []
    large[:] = 7
    assert int(large.sum()) == 1400


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OverflowError(), AttributeError()])
def test_without_space_on_the_disk_memory_is_used(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pixel_buffer, "IN_MEMORY", 100)
    monkeypatch.setattr("genbench.builtin.datasets.pixel_buffer.os.posix_fallocate", refuse)
    assert not isinstance(allocate((2, 1, 10, 10), tmp_path), np.memmap)
    (tmp_path / "file").touch()
    assert not isinstance(allocate((2, 1, 10, 10), tmp_path / "file"), np.memmap)


@pytest.mark.parametrize("size", [2**20, 2**28, 2**40])
def test_an_array_that_fits_nowhere_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{size}×{size} pixels need .* GiB of memory"):
        allocate((10**6, 3, size, size), tmp_path)


def test_a_selection_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    chosen = np.arange(50) % 3 == 1
    for limits in ((10**9, 10**9), (0, 4)):
        monkeypatch.setattr(pixel_buffer, "IN_MEMORY", limits[0])
        monkeypatch.setattr(pixel_buffer, "_COPIED", limits[1])
        assert select(pixels, chosen, tmp_path).ravel().tolist() == list(range(1, 50, 3))


def test_a_folder_is_the_same_whether_decoded_in_memory_or_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        Image.new("L", (5, 5), 20 * number).save(photos / f"{number:02}.png")
    (photos / "04.png").write_bytes(b"broken")
    options = FolderOptions(path=str(photos), size=4)
    plain = load(options, tmp_path / "cache")
    monkeypatch.setattr(pixel_buffer, "IN_MEMORY", 0)
    mapped = load(options, tmp_path / "cache")
    for one, other in ((plain.train, mapped.train), (plain.test, mapped.test)):
        assert torch.equal(torch.as_tensor(one.pixels), torch.as_tensor(other.pixels))
    assert mapped.test.pixels[:, 0, 0, 0].tolist() == [100, 200]  # of the readable ones, every fifth


PROGRAM = """
import resource, sys
from pathlib import Path
from genbench.builtin.datasets import pixel_buffer
import numpy as np
pixel_buffer.IN_MEMORY = pixel_buffer._COPIED = 2**20
lines = Path("/proc/self/status").read_text().splitlines()
held = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
resource.setrlimit(resource.RLIMIT_DATA, (held + 40 * 2**20,) * 2)
pixels = pixel_buffer.allocate((80, 1, 1024, 1024), Path(sys.argv[1]))
pixels[::10] = 3
print(len(pixel_buffer.select(pixels, np.arange(80) < 70, Path(sys.argv[1]))), int(pixels[50].max()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts a process's own memory so")
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA"), reason="needs a limit on memory")
def test_more_images_than_memory_can_be_decoded(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["70", "3"], done.stderr
