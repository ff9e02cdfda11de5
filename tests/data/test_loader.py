"""The loader returns the same batches as resident images, bit for bit; its processes stop, and errors are clear."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import wait_until
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.data import readahead
from genbench.data.loader import BATCHES_AHEAD, LoaderImages
from genbench.data.readahead import PREFETCHED_AFTER_FAULT, RowReader
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings, Shard
from genbench.errors import DataError

CPU = torch.device("cpu")


def jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    return images + torch.rand(len(images), 1, 1, 1, generator=rng)


def make(kind: Any, count: int = 20, batch: int = 6, seed: int = 0, channels: int = 3, **more: Any) -> Any:
    own = {name: more.pop(name) for name in ("workers", "copy") if name in more}
    pixels = torch.randint(0, 256, (count, channels, 4, 5), dtype=torch.uint8, generator=torch.Generator())
    rng = torch.Generator().manual_seed(seed)
    return kind(BatchSettings(pixels, torch.arange(count), batch, (-1.0, 1.0), CPU, rng, **more), **own)


_others: list[Any] = []  # children that other tests have left


@pytest.fixture(autouse=True)
def ignore_the_children_of_other_tests() -> None:
    _others[:] = multiprocessing.active_children()


def workers() -> list[Any]:
    return [process for process in multiprocessing.active_children() if process not in _others]


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), st.sampled_from([1, 3]), st.booleans())
def test_batches_are_those_of_resident_images(count: int, batch: int, seed: int, channels: int, changed: bool) -> None:
    shape = {"count": count, "batch": min(batch, count), "seed": seed, "channels": channels}
    transform = jitter if changed else None
    resident, loaded = (make(kind, **shape, transform=transform) for kind in (ResidentImages, LoaderImages))
    for _ in range(12):
        assert same(resident.next_batch(), loaded.next_batch())


@pytest.mark.parametrize("processes", [1, 2])
def test_worker_processes_change_no_bit_and_no_random_number(processes: int) -> None:
    resident, loaded = make(ResidentImages), make(LoaderImages, workers=processes)
    before = torch.get_rng_state()
    for _ in range(3 * BATCHES_AHEAD):
        assert same(resident.next_batch(), loaded.next_batch())
    assert torch.equal(torch.get_rng_state(), before)
    assert len(workers()) == processes
    loaded.close()


@pytest.mark.parametrize("kind", [ResidentImages, LoaderImages])
def test_the_shards_of_all_processes_make_up_the_batch_of_one_process(kind: Any) -> None:
    whole = make(kind)
    shards = [make(kind, shard=Shard(rank, 3)) for rank in range(3)]
    for _ in range(8):  # more than two epochs
        images, labels = whole.next_batch()
        parts = [shard.next_batch() for shard in shards]
        assert same((images, labels), (torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])))


@pytest.mark.parametrize("kind", [ResidentImages, LoaderImages])
def test_each_process_draws_its_own_transforms(kind: Any) -> None:
    changes = []
    for rank in range(2):
        plain, changed = (make(kind, shard=Shard(rank, 2), transform=t) for t in (None, jitter))
        changes.append(changed.next_batch()[0] - plain.next_batch()[0])
    assert not torch.allclose(*changes)


@pytest.mark.parametrize("steps", [0, 1, 3, 7])
@pytest.mark.parametrize("kind", [ResidentImages, LoaderImages])
@pytest.mark.parametrize("processes", [0, 1])
def test_batches_continue_from_a_state_whatever_was_read_ahead(kind: Any, steps: int, processes: int) -> None:
    reference = make(ResidentImages, transform=jitter)
    interrupted = make(LoaderImages, transform=jitter, workers=processes)
    resumed = make(kind, transform=jitter, seed=9)
    for _ in range(steps):
        reference.next_batch()
        interrupted.next_batch()
    tensors, numbers = interrupted.state()
    assert numbers == reference.state()[1]
    assert all(torch.equal(value, tensors[name]) for name, value in reference.state()[0].items())
    resumed.next_batch()
    resumed.load_state({name: tensor.clone() for name, tensor in tensors.items()}, numbers)
    for _ in range(8):
        assert same(resumed.next_batch(), reference.next_batch())
    interrupted.close()


def test_closing_stops_the_processes_and_skips_no_batch() -> None:
    reference, data = make(ResidentImages), make(LoaderImages, workers=1)
    assert workers() == []  # none before the first batch
    for _ in range(3):
        assert same(data.next_batch(), reference.next_batch())
        assert len(workers()) == 1
        data.close()
        assert workers() == []
    data.close()


def test_deleting_the_loader_stops_its_processes() -> None:
    data = make(LoaderImages, workers=1)
    data.next_batch()
    (process,) = workers()
    del data
    process.join(5)
    assert not process.is_alive()


@pytest.mark.parametrize("processes", [0, 1])
def test_a_read_error_is_raised_and_the_batch_is_requested_again(
    monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    data = make(LoaderImages, workers=processes)
    before = data.next_batch()
    data.close()

    def fail(*_: Any) -> None:
        raise OSError("Input/output error")

    monkeypatch.setattr(readahead.RowReader, "gather", fail)
    for _ in range(1 if processes else 2):
        with pytest.raises(OSError, match="Input/output error"):
            data.next_batch()
    monkeypatch.undo()
    reference = make(ResidentImages)
    assert same(before, reference.next_batch())
    assert same(data.next_batch(), reference.next_batch())  # the failed batch is not skipped
    data.close()


def read_until_error(data: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        for _ in range(1000):
            data.next_batch()
            time.sleep(0.02)
    return caught.value


def test_a_killed_worker_is_reported_with_a_remedy_and_interrupts_nothing_else() -> None:
    reference, data = make(ResidentImages), make(LoaderImages, workers=1)
    assert same(data.next_batch(), reference.next_batch())
    os.kill(workers()[0].pid, signal.SIGKILL)
    time.sleep(0.2)  # torch's own error would come here
    found = read_until_error(data)
    assert "SIGKILL" in found.cause
    assert "--resume" in found.cure
    assert same(data.next_batch(), reference.next_batch())  # in a new process
    data.close()


def test_a_truncated_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "pixels.npy"
    np.save(file, np.zeros((64, 3, 64, 64), dtype=np.uint8))
    pixels = torch.from_numpy(np.load(file, mmap_mode="r+"))
    data = LoaderImages(BatchSettings(pixels, None, 8, (0, 1), CPU, torch.Generator()), workers=1)
    data.next_batch()
    os.truncate(file, 4096)
    assert "truncated" in read_until_error(data).cause


def test_later_batches_do_not_overwrite_a_batch() -> None:
    data = make(LoaderImages)
    images, labels = data.next_batch()
    kept = images.clone(), labels.clone()
    for _ in range(3 * BATCHES_AHEAD):
        data.next_batch()
    assert same((images, labels), kept)


def test_a_transform_changes_images_but_not_their_order() -> None:
    plain, changed = make(ResidentImages), make(ResidentImages, transform=jitter)
    for _ in range(10):
        (before, labels), (after, labels_after) = plain.next_batch(), changed.next_batch()
        assert torch.equal(labels, labels_after)
        assert not torch.equal(before, after)
        assert (after - before).flatten(1).std(1).max() < 1e-6  # one shift for each image


def test_a_copy_is_independent_of_the_source() -> None:
    pixels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    rng = torch.Generator()
    settings = BatchSettings(pixels, None, 4, (0, 1), CPU, rng)
    copied, shared = ResidentImages(settings, copy=True), ResidentImages(settings)
    pixels.fill_(255)
    assert copied.next_batch()[0].max() == 0
    assert shared.next_batch()[0].min() == 1


def test_the_error_for_images_that_do_not_fit_names_the_loader_as_remedy() -> None:
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(2**20, 3, 2**15, 2**15)  # 3 PiB, of one byte
    with pytest.raises(MemoryError, match="--input loader"):
        ResidentImages(BatchSettings(pixels, None, 4, (0, 1), CPU, torch.Generator()))


def test_rows_are_prefetched_only_while_reads_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(3 * 4096, dtype=np.uint16).reshape(3, 4096)
    faults = iter([0, 0, 0, 1] + [1] * 1000)  # before and after each gather: only the second one waits
    monkeypatch.setattr(readahead, "major_faults", lambda: next(faults))
    reader, out = RowReader(array), np.empty((2, 4096), dtype=np.uint16)
    prefetched = []
    for _ in range(PREFETCHED_AFTER_FAULT + 5):
        reader.gather(np.array([2, 0]), out, np.array([1]))
        assert np.array_equal(out, array[[2, 0]])
        prefetched.append(reader.prefetched)
    assert prefetched == [0, 0, *range(1, PREFETCHED_AFTER_FAULT + 1), *[PREFETCHED_AFTER_FAULT] * 3]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_on_a_gpu_batches_come_through_pinned_memory(labelled: bool, workers: int) -> None:
    device = torch.device("cuda", 0)
    pixels = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(64) if labelled else None
    rng = torch.Generator(device).manual_seed(0)
    settings = BatchSettings(pixels, labels, 16, (0.0, 255.0), device, rng, torch.channels_last)
    data = LoaderImages(settings, workers=workers)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for start in (0, 16, 32, 48):
        images, found = data.next_batch()
        assert torch.equal(images.cpu(), pixels[order[start : start + 16]].float())
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (found is not None and found.cpu().tolist() == order[start : start + 16].tolist()) if labelled else True
    data.close()


def test_shared_memory_that_is_too_small_is_reported_before_a_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs("/")
    free = SimpleNamespace(f_bavail=2, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: free if path == "/dev/shm" else real)
    data = make(LoaderImages, count=64, batch=64, workers=2)
    with pytest.raises(
        DataError, match=r"2 loader workers need .* MiB of shared memory.*/dev/shm has 0.0 MiB"
    ) as error:
        data.next_batch()
    assert "--shm-size" in error.value.cure
    assert workers() == []
    assert same(make(LoaderImages).next_batch(), make(ResidentImages).next_batch())  # without workers it is not needed


def test_workers_that_send_nothing_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any) -> None:
        time.sleep(600)

    monkeypatch.setattr(readahead.RowReader, "gather", hang)
    monkeypatch.setattr("genbench.data.loader._SILENT_SECONDS", 1)
    data = make(LoaderImages, workers=1)
    with pytest.raises(DataError, match="sent nothing for 1 s") as error:
        data.next_batch()
    assert "--resume" in error.value.cure
    wait_until(lambda: workers() == [], seconds=5)


class Copied:
    """A tensor that notes what is done with it."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def to(self, device: torch.device, non_blocking: bool) -> Copied:
        self._events.append(f"copy, waiting: {not non_blocking}")
        return self

    def record_stream(self, stream: Any) -> None:
        self._events.append(f"used in {stream.name}")


def test_a_gpu_copies_a_batch_in_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def inside(stream: Any) -> Iterator[None]:
        events.append(f"enter {stream.name}")
        yield
        events.append(f"leave {stream.name}")

    training = SimpleNamespace(name="training", wait_stream=lambda stream: events.append(f"wait for {stream.name}"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(name="copies"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: training)
    monkeypatch.setattr(torch.cuda, "stream", inside)
    source = make(LoaderImages)
    source.device = torch.device("cuda", 0)
    batch: Any = Copied(events)
    source._copy_to_device(batch, batch)
    copy = ["copy, waiting: False"] * 2
    assert events == ["enter copies", *copy, "leave copies", "wait for copies", *["used in training"] * 2]
