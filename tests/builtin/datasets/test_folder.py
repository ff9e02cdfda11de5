"""A folder of images as a dataset: its files, labels and split, and the report on unreadable files."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genbench import DataError, ImageData
from genbench.builtin.datasets import FolderOptions
from genbench.builtin.datasets.folder import choose_held_out, class_labels, find_images, is_advice, load, signature


def make(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)


def read(path: Path | str, **options: int) -> ImageData:
    return load(FolderOptions(path=str(path), **{"size": 4, "channels": 1, **options}), Path("unused"))


def levels(pixels: torch.Tensor) -> list[int]:
    """The grey level of each image made by `make`."""
    return pixels[:, 0, 0, 0].tolist()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read anything: temporarily become nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_every_fifth_image_in_path_order_is_held_out(tmp_path):
    for level in reversed(range(12)):
        make(tmp_path / f"{level:02}.png", level)
    data = read(tmp_path)
    assert levels(data.test.pixels) == [4, 9]
    assert levels(data.train.pixels) == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]
    assert data.train.labels is None
    assert data.test.labels is None
    assert data.class_names == ()
    assert data.notes == ()


def test_shape_and_type_follow_the_options(tmp_path):
    for level in range(2):
        make(tmp_path / f"{level}.png", level)
    data = read(tmp_path, size=6, channels=3)
    assert data.train.pixels.shape == (1, 3, 6, 6)
    assert data.train.pixels.dtype == data.test.pixels.dtype == torch.uint8


def test_sub_folders_are_classes_in_alphabetical_order(tmp_path):
    for level in range(10):
        make(tmp_path / "dogs" / f"{level}.png", level)
        make(tmp_path / "cats" / "deeper" / f"{level}.png", 100 + level)
    data = read(tmp_path)
    assert data.class_names == ("cats", "dogs")
    assert levels(data.test.pixels) == [104, 109, 4, 9]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.dtype == torch.int64
    assert torch.bincount(data.train.labels).tolist() == [8, 8]


def test_one_image_outside_the_sub_folders_means_no_labels(tmp_path):
    for level in range(5):
        make(tmp_path / "cats" / f"{level}.png")
    make(tmp_path / "stray.png")
    assert read(tmp_path).train.labels is None


def test_an_unreadable_stray_file_does_not_remove_the_labels(tmp_path):
    for level in range(5):
        make(tmp_path / "cats" / f"{level}.png")
    (tmp_path / "stray.png").touch()
    assert read(tmp_path).class_names == ("cats",)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60))
def test_a_fifth_of_each_class_is_held_out_and_neither_split_is_empty(classes):
    chosen = choose_held_out(classes)
    assert 0 < sum(chosen) < len(classes)
    counts = [sum(1 for label, test in zip(classes, chosen, strict=True) if test and label == c) for c in range(4)]
    fifths = [classes.count(c) // 5 for c in range(4)]
    assert counts == fifths if any(fifths) else sum(counts) == 1


def test_if_no_class_has_five_images_the_last_of_the_largest_is_held_out():
    assert choose_held_out([0, 1, 1, 1, 2]) == [False, False, False, True, False]


def test_the_split_does_not_depend_on_the_order_of_the_directory(tmp_path):
    order = np.random.default_rng(0).permutation(40)
    for folder, names in (("one", order), ("two", order[::-1])):
        for level in names:
            make(tmp_path / folder / f"{level // 20}" / f"{level:02}.png", int(level))
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert torch.equal(one.train.pixels, two.train.pixels)
    assert torch.equal(one.test.pixels, two.test.pixels)
    assert torch.equal(one.test.labels, two.test.labels)


def test_many_images_keep_their_places(tmp_path):
    for level in range(250):
        make(tmp_path / f"{level:03}.pgm", level)
    data = read(tmp_path)
    assert sorted(levels(data.train.pixels) + levels(data.test.pixels)) == list(range(250))
    assert levels(data.test.pixels) == list(range(4, 250, 5))


def test_suffixes_in_any_case_and_no_hidden_or_other_files(tmp_path):
    for name in ("a.PNG", "b.Jpg", "c.tiff", "deep/er/d.WebP", ".hidden.png", ".cache/e.png", "f.txt.png"):
        make(tmp_path / name)
    (tmp_path / "readme.txt").write_text("not an image, and not counted")
    assert find_images(tmp_path) == (
        [PurePath(n) for n in ("a.PNG", "b.Jpg", "c.tiff", "deep/er/d.WebP", "f.txt.png")],
        [],
    )


def test_links_are_followed_once_and_loops_end(tmp_path):
    root = tmp_path / "root"
    make(root / "z" / "1.png")
    make(tmp_path / "outside" / "2.png")
    make(tmp_path / "3.png")
    (root / "a").symlink_to(root / "z")  # sorts first, yet the folder itself keeps its images
    (root / "b").symlink_to(tmp_path / "outside")
    (root / "z" / "again").symlink_to(root)
    (root / "z" / "upwards").symlink_to(tmp_path)
    (root / "self").symlink_to(root / "self")
    (root / "self.png").symlink_to(root / "self.png")
    (root / "gone").symlink_to(root / "nowhere")
    found, problems = find_images(root)
    assert found == [PurePath("b/2.png"), PurePath("self.png"), PurePath("z/1.png")]
    assert problems == []
    assert len(read(root).notes) == 1


def test_a_pipe_is_skipped_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for level in range(2):
        make(tmp_path / f"{level}.png")
    assert read(tmp_path).notes == ("Skipped 1 unreadable: pipe.png (not a regular file).",)


def test_readable_files_are_used_and_the_others_named(tmp_path):
    for level in range(5):
        make(tmp_path / f"good{level}.png", level)
    (tmp_path / "good2.png").with_name("empty.png").touch()
    (tmp_path / "corrupt.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    content = (tmp_path / "good0.png").read_bytes()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "truncated.png").write_bytes(content[: len(content) // 2])
    Image.new("F", (8, 8)).save(tmp_path / "float.tif")
    data = read(tmp_path)
    assert levels(data.train.pixels) == [0, 1, 2, 3]
    assert levels(data.test.pixels) == [4]
    (note,) = data.notes
    assert note.startswith("Skipped 4 unreadable: corrupt.jpg (")
    for part in ("deep/truncated.png (", "empty.png (empty file)", "float.tif (floating-point pixels"):
        assert part in note


def test_ten_unreadable_files_are_named_and_the_others_counted(tmp_path):
    for number in range(13):
        (tmp_path / f"bad{number:02}.png").touch()
    for level in range(2):
        make(tmp_path / f"good{level}.png")
    (note,) = read(tmp_path).notes
    assert note.startswith("Skipped 13 unreadable: bad00.png (empty file), ")
    assert note.endswith("bad09.png (empty file) and 3 more.")


def test_names_that_are_not_text_can_be_written_to_json(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")  # Latin-1, which UTF-8 cannot read
    for level in range(2):
        make(folder / f"{level}.png")
    (folder / "bad\n.png").touch()
    data = read(tmp_path)
    assert data.class_names == (r"caf\udce9",)
    assert r"caf\udce9/bad\n.png (empty file)" in data.notes[0]
    json.dumps([data.class_names, data.notes], ensure_ascii=False).encode()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for level in range(2):
        make(tmp_path / "photos" / f"{level}.png", level)
    assert len(read("~/photos").train.pixels) == 1


def test_errors_state_cause_and_remedy(tmp_path):
    make(tmp_path / "single" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").touch()
    cases = {
        "": ("needs a path", "folder:PATH"),
        str(tmp_path / "nowhere"): ("does not exist", "spelling"),
        str(tmp_path / "single" / "a.png"): ("is a file", f"folder:{tmp_path / 'single'}"),
        str(tmp_path / "empty"): ("no images", "png"),
        str(tmp_path / "bad"): ("0 readable images", "repair"),
        str(tmp_path / "single"): ("1 readable image;", "more images"),
        str(tmp_path / ("x" * 300)): ("cannot be read", "spelling"),
        "~nobody-of-this-name/photos": ("cannot be read", "spelling"),
        "nul\0l": ("cannot be read", "spelling"),
    }
    for path, (cause, cure) in cases.items():
        with pytest.raises(DataError) as caught:
            read(path)
        assert cause in caught.value.cause
        assert repr(path)[1:-1] in str(caught.value)
        assert cure in caught.value.cure
    with pytest.raises(DataError, match=r"a\.png \(empty file\)"):
        read(tmp_path / "bad")


def test_two_channels_are_refused(tmp_path):
    with pytest.raises(DataError, match="neither colour nor grey"):
        read(tmp_path, channels=2)


def test_images_larger_than_memory_and_disk_are_refused(tmp_path):
    for level in range(2):
        make(tmp_path / f"{level}.png")
    with pytest.raises(DataError, match="GiB of memory"):
        load(FolderOptions(path=str(tmp_path), size=2**28, channels=1), tmp_path / "cache")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are POSIX")
def test_files_without_permission_are_named():
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        outer.chmod(0o755)
        for level in range(5):
            make(outer / "open" / f"{level}.png", level)
        make(outer / "closed" / "a.png")
        (outer / "open" / "1.png").chmod(0)
        (outer / "closed").chmod(0o311)
        with unprivileged():
            data = read(outer)
            with pytest.raises(DataError, match="cannot be read") as caught:
                read(outer / "closed")
        (outer / "closed").chmod(0o755)
    assert data.notes == ("Skipped 2 unreadable: open/1.png (Permission denied), closed/ (Permission denied).",)
    assert len(data.train.pixels) + len(data.test.pixels) == 4
    assert str(outer / "closed") in str(caught.value)
    assert "permission" in caught.value.cure


def test_classes_are_the_top_level_folders_if_every_image_is_in_one():
    assert class_labels([PurePath("b/c/2.png"), PurePath("a/1.png")]) == (["a", "b"], [1, 0])
    assert class_labels([PurePath("a/1.png"), PurePath("2.png")]) == ([], [0, 0])


def test_images_left_out_because_of_their_suffix_are_counted_in_a_note(tmp_path):
    for level in range(5):
        make(tmp_path / f"{level}.png", level)
    before = signature(FolderOptions(path=str(tmp_path)), Path("unused"))
    for number in range(12):
        Image.new("L", (8, 8)).save(tmp_path / f"{number:02}.jfif", "JPEG")
    (tmp_path / "page").write_bytes((tmp_path / "0.png").read_bytes())
    os.mkfifo(tmp_path / "pipe")  # which would block
    data = read(tmp_path)
    assert len(data.train.pixels) + len(data.test.pixels) == 5
    (note,) = data.notes
    assert note.startswith("13 images were left out because of the suffix: 00.jfif (JPEG), ")
    assert "and 3 more" in note
    assert signature(FolderOptions(path=str(tmp_path)), Path("unused")) != before  # the note is cached with the images


def test_a_folder_of_left_out_images_only_says_so(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.jfif", "JPEG")
    with pytest.raises(DataError, match=r"1 image was left out because of the suffix: a\.jfif"):
        read(tmp_path)


@pytest.mark.parametrize("splits", [("train", "test"), ("Train", "val", "test"), ("training",)])
def test_sub_folders_named_after_splits_get_a_note_that_names_the_dataset_for_them(tmp_path, splits):
    for split in splits:
        for name in ("cats", "dogs"):
            for number in range(3):
                make(tmp_path / split / name / f"{number}.png")
    data = read(tmp_path)
    assert data.class_names == tuple(sorted(splits))
    (note,) = data.notes
    assert f"image-folder:{tmp_path}" in note
    assert is_advice(note)
    for number in range(3):
        make(tmp_path / "cats" / f"{number}.png")
    assert read(tmp_path).notes == ()  # an ordinary class beside them: it is a folder of classes
