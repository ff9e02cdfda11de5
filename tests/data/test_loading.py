"""Loading a dataset: prepared once, memory-mapped later; damage, changes and a full disk cost only time."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import genbench
from genbench import DataError, ImageData, Images
from genbench.data import image_cache, loading
from genbench.data.content_hash import content_hash
from genbench.data.loading import LoadedData, load_data
from genbench.errors import SpecError
from genbench.plugins.catalogue import Catalogue, Entry, combine
from genbench.plugins.loader import Plugin, builtin_plugins, load_plugin
from genbench.results.schema import Choice, PluginOrigin

ORIGIN = PluginOrigin(plugin="acme", distribution="acme", version="1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("GENBENCH_CACHE", str(place))
    return place


class Acme:
    """A dataset whose sources, signature and failures a test decides."""

    def __init__(self, count: int = 10) -> None:
        self.loads = 0
        self.signature = "first"
        self.level = 1
        self.count = count
        self.notes: tuple[str, ...] = ("Skipped 1 unreadable: a.png (empty file).",)

    def load(self, options: None, cache: Path) -> ImageData:
        self.loads += 1
        pixels = np.full((self.count, 1, 4, 4), self.level, dtype=np.uint8)
        return ImageData(
            Images(pixels, np.arange(self.count) % 3),
            Images(pixels[:2] + 1, np.array([0, 1])),
            ("a", "b", "c"),
            self.notes,
        )

    def catalogue(self, version: str = "1", **more: Any) -> Catalogue:
        spec = genbench.DatasetSpec(
            name="acme",
            image_shape=(1, 4, 4),
            load=self.load,
            signature=lambda options, cache: self.signature,
            **more,
        )
        plugin = Plugin("acme", "entry-point", "acme", "acme", version)
        return Catalogue(datasets={"acme": Entry(spec, plugin)})

    def start(self, version: str = "1", **more: Any) -> LoadedData:
        return load_data(Choice(name="acme", origin=ORIGIN), (1, 4, 4), self.catalogue(version, **more))


def alike(one: LoadedData, other: LoadedData) -> bool:
    fields = ("train_pixels", "train_labels", "test_pixels", "test_labels")
    pairs = [(getattr(one, field), getattr(other, field)) for field in fields]
    return all(a is b if a is None else torch.equal(a, b) for a, b in pairs) and (
        (one.hash, one.notes, one.class_names, one.num_classes)
        == (other.hash, other.notes, other.class_names, other.num_classes)
    )


def entries(cache: Path) -> list[Path]:
    """Return what is kept; outside of Linux, locks are files beside it."""
    return [path for path in (cache / "prepared").iterdir() if not path.name.endswith(".lock")]


def entry(cache: Path) -> Path:
    (found,) = entries(cache)
    return found


def test_a_second_start_loads_and_hashes_nothing_and_finds_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = Acme()
    first = acme.start()
    monkeypatch.setattr(loading, "content_hash", None)
    monkeypatch.setattr(image_cache, "content_hash", None)
    second = acme.start()
    assert acme.loads == 1
    assert alike(first, second)
    assert second.notes == acme.notes
    assert second.mapped
    assert first.train_labels is not None and first.train_labels.dtype == torch.int64


def test_the_hash_does_not_depend_on_the_cache(cache: Path) -> None:
    acme = Acme()
    kept = acme.start()
    acme.signature = ""
    fresh = acme.start()
    assert acme.loads == 2
    assert not fresh.mapped
    assert kept.hash == fresh.hash


def test_the_hash_is_of_type_shape_and_bytes_of_each_part() -> None:
    pixels = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2)
    parts = [pixels, torch.tensor([0, 1]), pixels[:1], None]
    found = content_hash(parts)
    assert found == content_hash([part if part is None else part.clone() for part in parts])
    others = (
        [pixels.reshape(2, 3, 4, 1), *parts[1:]],
        [pixels, None, *parts[2:]],
        [pixels, torch.tensor([0, 1], dtype=torch.int32), *parts[2:]],
        [pixels.flip(0), *parts[1:]],
    )
    assert len({found, *map(content_hash, others)}) == 5


def test_chunks_do_not_change_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(0, 256, (7, 4, 3, 2), dtype=torch.uint8).permute(0, 3, 1, 2)
    whole = content_hash([pixels])
    monkeypatch.setattr("genbench.data.content_hash._CHUNK", 50)
    written = bytearray()
    assert content_hash([pixels], lambda number, piece: written.extend(piece)) == whole
    assert bytes(written) == pixels.contiguous().numpy().tobytes()


def change_signature(acme: Acme) -> dict[str, Any]:
    acme.signature = "second"
    return {}


@pytest.mark.parametrize("change", [change_signature, lambda acme: {"version": "2"}])
def test_other_sources_or_another_version_are_prepared_again(
    cache: Path, change: Callable[[Acme], dict[str, Any]]
) -> None:
    acme = Acme()
    acme.start()
    more = change(acme)
    acme.level = 7
    assert acme.start(**more).train_pixels.unique().tolist() == [7]
    assert acme.loads == 2
    assert len(entries(cache)) == 2


def test_sources_that_change_while_they_are_read_are_not_cached(cache: Path) -> None:
    acme = Acme()
    plain = acme.load

    def load(options: None, cache: Path) -> ImageData:
        acme.signature += "!"
        return plain(options, cache)

    acme.load = load  # type: ignore[method-assign]
    assert not acme.start().mapped
    assert not (cache / "prepared").exists()


def test_a_download_is_cached_although_there_was_no_signature_before(cache: Path) -> None:
    acme = Acme()
    acme.signature = ""
    plain = acme.load

    def load(options: None, cache: Path) -> ImageData:
        acme.signature = "downloaded"
        return plain(options, cache)

    acme.load = load  # type: ignore[method-assign]
    assert acme.start().mapped
    assert acme.start().mapped
    assert acme.loads == 1


def truncate(place: Path) -> None:
    os.truncate(place / "train_pixels.npy", 200)


def flip_a_byte(place: Path) -> None:
    with (place / "train_pixels.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")


def edit_notes(place: Path) -> None:
    text = (place / "entry.json").read_text(encoding="utf-8")
    (place / "entry.json").write_text(text.replace("unreadable", "invisible"), encoding="utf-8")


def drop_labels(place: Path) -> None:
    sealed = json.loads((place / "entry.json").read_text(encoding="utf-8"))
    (place / "entry.json").write_text(json.dumps({"checksum": sealed["checksum"]}), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_byte,
        edit_notes,
        drop_labels,
        lambda place: (place / "entry.json").write_bytes(b"\x00\xff"),
        lambda place: (place / "entry.json").unlink(),
        lambda place: (place / "test_labels.npy").unlink(),
        lambda place: shutil.rmtree(place),
        lambda place: (shutil.rmtree(place), place.write_text("a file")),
    ],
)
def test_a_damaged_entry_is_detected_and_rebuilt(cache: Path, damage: Callable[[Path], Any]) -> None:
    acme = Acme()
    mapped = acme.start()  # a copy: some kinds of damage are visible through the mapping
    first = replace(mapped, train_pixels=mapped.train_pixels.clone())
    damage(entry(cache))
    second = acme.start()
    assert acme.loads == 2
    assert alike(first, second)
    assert acme.start().mapped
    assert acme.loads == 2
    assert sorted(path.name for path in entry(cache).iterdir())[0] == "entry.json"


def test_an_entry_that_is_in_use_may_be_replaced(cache: Path) -> None:
    acme = Acme(count=5000)
    first = acme.start()
    (entry(cache) / "entry.json").unlink()
    acme.start()
    assert acme.loads == 2
    assert int(first.train_pixels.sum()) == 5000 * 16


def test_a_full_disk_costs_a_note(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("genbench.data.image_cache.os.fsync", full)
    acme = Acme()
    data = acme.start()
    assert data.train_pixels.unique().tolist() == [1]
    assert "No space left on device" in data.notes[-1]
    assert str(cache / "prepared") in data.notes[-1]
    assert entries(cache) == []


def test_a_cache_that_cannot_be_a_folder_costs_a_note(cache: Path) -> None:
    cache.write_text("a file")
    data = Acme().start()
    assert "could not be stored" in data.notes[-1]
    assert not data.mapped
    assert data.hash == Acme().start().hash


def test_directories_of_killed_processes_are_removed_and_those_in_use_are_not(cache: Path) -> None:
    (cache / "prepared" / ".writing-dead" / "entry").mkdir(parents=True)
    alive = cache / "prepared" / ".writing-alive"
    alive.mkdir()
    with image_cache._locked(alive):
        Acme().start()
    assert sorted(path.name[:13] for path in entries(cache)) == [
        ".writing-aliv",
        "acme-" + entry_key(cache),
    ]


def entry_key(cache: Path) -> str:
    (found,) = (cache / "prepared").glob("acme-*")
    return found.name[5:13]


def _race(barrier: Any, results: Any) -> None:
    acme = Acme(count=2000)
    barrier.wait()
    data = acme.start()
    results.put((data.hash, data.mapped, data.notes, int(data.train_pixels.sum())))


def test_cells_that_start_simultaneously_agree(cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_race, args=(barrier, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = {results.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join(60)
    assert len(found) == 1
    assert [path.name[:5] for path in entries(cache)] == ["acme-"]


def test_data_that_do_not_match_the_spec_are_refused_and_not_cached(cache: Path) -> None:
    acme = Acme()
    with pytest.raises(DataError, match=r"the spec declares \(N, 3, 4, 4\)"):
        load_data(Choice(name="acme", origin=ORIGIN), (3, 4, 4), acme.catalogue())
    assert not (cache / "prepared").exists()
    acme.signature = 3  # type: ignore[assignment]
    with pytest.raises(SpecError, match=r"signature\(options, cache\) must return text; it returned an int, 3"):
        acme.start()


def test_a_folder_is_decoded_once_and_again_when_a_file_changes(cache: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(10):
        Image.new("L", (6, 6), 10 * number).save(photos / f"{number}.png")
    (photos / "broken.png").touch()
    catalogue = combine(map(load_plugin, builtin_plugins()))
    choice = Choice(name="folder", origin=ORIGIN, options={"path": str(photos), "size": 4, "channels": 1})
    first = load_data(choice, (1, 4, 4), catalogue)
    again = load_data(choice, (1, 4, 4), catalogue)
    assert alike(first, again)
    assert "broken.png (empty file)" in again.notes[0]
    assert again.mapped
    Image.new("L", (6, 6), 255).save(photos / "0.png")
    changed = load_data(choice, (1, 4, 4), catalogue)
    assert int(changed.train_pixels[0].max()) == 255
    assert changed.hash != first.hash
    (photos / "1.png").rename(photos / "swap")
    (photos / "2.png").rename(photos / "1.png")
    (photos / "swap").rename(photos / "2.png")
    assert load_data(choice, (1, 4, 4), catalogue).train_pixels[1:3, 0, 0, 0].tolist() == [20, 10]


@pytest.mark.parametrize(
    ("declared", "count", "said"),
    [
        (2, 3, "the label 2 was found, but the spec declares 2 classes, whose labels are 0 to 1"),
        (None, 10**12, "at most 100,000 classes"),
    ],
)
def test_a_label_beyond_the_classes_names_the_dataset(cache: Path, declared: int | None, count: int, said: str) -> None:
    acme = Acme()
    labels = np.arange(10) % 3 if count == 3 else np.full(10, count)
    pixels = np.ones((10, 1, 4, 4), dtype=np.uint8)
    acme.load = lambda options, cache: ImageData(Images(pixels, labels), Images(pixels, labels))  # type: ignore[method-assign]
    with pytest.raises(DataError, match=f"Dataset 'acme', split 'train': .*{said}"):
        acme.start(classes=declared)
