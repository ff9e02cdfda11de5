"""Scanning a folder: every kind of broken file is reported with its reason, without a crash."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genbench.builtin.datasets import FolderOptions
from genbench.builtin.datasets.folder import load
from genbench.datacheck.check import measure
from genbench.datacheck.findings import findings
from genbench.datacheck.folder import scan_folder


def noise(seed: int, side: int = 32, channels: int = 3) -> Image.Image:
    shape = (side, side, channels) if channels > 1 else (side, side)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header declares 3.6 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    for seed in range(6):
        noise(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("hello")
    whole = png(noise(9))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bomb.png").write_bytes(bomb())
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    return tmp_path


def codes(root: Path, size: int = 16) -> dict[str, tuple[str, ...]]:
    return {finding.code: finding.examples for finding in findings(measure(scan_folder(root, size)))}


def test_every_broken_file_is_reported_with_its_reason(mixed):
    scan = scan_folder(mixed)
    assert list(scan.names) == [f"{seed}.png" for seed in range(6)]
    reasons = dict(scan.unreadable)
    assert sorted(reasons) == ["bomb.png", "cut.png", "empty.png", "gone.png", "pipe.png", "text.jpg"]
    assert "decompression bomb" in reasons["bomb.png"]
    assert reasons["empty.png"] == "empty file"
    assert reasons["pipe.png"] == "not a regular file"
    assert reasons["text.jpg"] == "not an image in a known format"


def test_it_reads_and_splits_the_images_as_training_does(mixed):
    scan = scan_folder(mixed)
    data = load(FolderOptions(path=str(mixed), size=32), Path("unused"))
    assert scan.train == len(data.train.pixels)
    assert len(scan) - scan.train == len(data.test.pixels)
    held_out = [scan.read_image(index) for index in np.flatnonzero(scan.held_out)]
    assert np.array_equal(np.asarray(held_out[0]).transpose(2, 0, 1), data.test.pixels[0].numpy())
    assert f"Skipped {len(scan.unreadable)} unreadable" in data.notes[0]


def test_a_file_that_disappears_between_listing_and_reading_is_unreadable(tmp_path, monkeypatch):
    for seed in range(3):
        noise(seed).save(tmp_path / f"{seed}.png")
    listed = [Path(f"{seed}.png") for seed in range(3)]
    (tmp_path / "1.png").unlink()
    monkeypatch.setattr("genbench.datacheck.folder.find_images", lambda root: (listed, []))
    scan = scan_folder(tmp_path)
    assert list(scan.names) == ["0.png", "2.png"]
    assert scan.unreadable == (("1.png", "no longer there"),)


def test_a_name_that_is_not_text_is_escaped(tmp_path):
    noise(0).save(os.fsencode(tmp_path) + b"/caf\xe9.png")
    assert list(scan_folder(tmp_path).names) == [r"caf\udce9.png"]


def test_duplicates_are_found_by_their_pixels_in_any_file_format(tmp_path):
    image = noise(0)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    noise(1, channels=1).save(tmp_path / "c.png")
    noise(1, channels=1).convert("RGB").save(tmp_path / "d.png")
    noise(2).save(tmp_path / "e.png")
    (across,) = measure(scan_folder(tmp_path)).exact[:1]
    assert [group.images for group in measure(scan_folder(tmp_path)).exact] == [(0, 1), (2, 3)]
    assert not across.across_splits


def test_a_duplicate_across_the_splits_is_a_problem(tmp_path):
    for seed in range(5):
        noise(0 if seed == 4 else seed).save(tmp_path / f"{seed}.png")  # the fifth is held out
    (leak,) = (f for f in findings(measure(scan_folder(tmp_path))) if f.code.startswith("duplicates"))
    assert (leak.severity, leak.code) == ("problem", "duplicates-across-splits")
    assert leak.examples == ("0.png = 4.png",)
    assert leak.text.startswith("1 held-out image ")


def test_duplicates_with_different_labels_are_listed(tmp_path):
    for folder in ("cats", "dogs"):
        (tmp_path / folder).mkdir()
        noise(0).save(tmp_path / folder / "same.png")
        noise(1 if folder == "cats" else 2).save(tmp_path / folder / "own.png")
    assert codes(tmp_path)["duplicates-labelled-differently"] == ("cats/same.png = dogs/same.png",)


def test_the_orientation_in_exif_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    noise(0, 32).crop((0, 0, 32, 16)).save(tmp_path / "turned.png", exif=exif)
    scan = scan_folder(tmp_path)
    assert (scan.widths[0], scan.heights[0]) == (16, 32)


def test_sizes_modes_and_formats(tmp_path):
    noise(0).save(tmp_path / "jpeg.png", "JPEG")
    noise(1, 8).save(tmp_path / "small.png")
    noise(2).resize((100, 30)).save(tmp_path / "wide.png")
    noise(3, channels=1).save(tmp_path / "grey.png")
    noise(4).convert("CMYK").save(tmp_path / "print.jpg")
    noise(5).convert("RGBA").save(tmp_path / "glass.png")
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60).save(tmp_path / "deep.png")
    noise(6).save(tmp_path / "moving.gif", save_all=True, append_images=[noise(7)])
    (tmp_path / "phone.jfif").write_bytes((tmp_path / "jpeg.png").read_bytes())
    found = codes(tmp_path)
    assert found["wrong-suffix"] == ("jpeg.png (JPEG)",)
    assert found["smaller-than-target"] == ("small.png (8×8)",)
    assert found["elongated"] == ("wide.png (100×30)",)
    assert found["mixed-colour"] == ("deep.png", "grey.png")
    assert found["transparency"] == ("glass.png",)
    assert found["animated"] == ("moving.gif",)
    assert found["unread-suffix"] == ("phone.jfif (JPEG)",)
    assert "sixteen-bit" in found
    modes = scan_folder(tmp_path).files.modes
    assert modes["CMYK"] == modes["I;16"] == modes["RGBA"] == 1
    assert sum(modes.values()) == 8


def test_an_empty_folder_and_a_single_image_do_not_crash(tmp_path):
    empty = measure(scan_folder(tmp_path))
    assert (len(empty.scan), empty.exact, empty.brightness) == (0, None, None)
    assert [f.code for f in findings(empty)] == ["too-few"]
    noise(0).save(tmp_path / "one.png")
    assert [f.code for f in findings(measure(scan_folder(tmp_path)))] == ["too-few"]


def test_images_next_to_class_folders_and_folders_named_after_splits(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        for seed in range(3):
            noise(seed + 10 * len(folder)).save(tmp_path / folder / f"{seed}.png")
    (finding,) = (one for one in findings(measure(scan_folder(tmp_path))) if one.code == "split-folders")
    assert f"image-folder:{tmp_path}" in finding.cure
    noise(50).save(tmp_path / "stray.png")
    assert codes(tmp_path)["stray-images"] == ("stray.png",)
