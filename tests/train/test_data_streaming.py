"""Streamed images are the resident ones, batch by batch and bit by bit; the thread behind them ends and complains."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.train import readahead
from genbench.train.data import ResidentImages
from genbench.train.readahead import PATIENCE, RowReader
from genbench.train.streaming import AHEAD, StreamedImages

CPU = torch.device("cpu")


def jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    return images + torch.rand(len(images), 1, 1, 1, generator=rng)


def make(kind: Any, count: int = 20, batch: int = 6, seed: int = 0, channels: int = 3, **more: Any) -> Any:
    pixels = torch.randint(0, 256, (count, channels, 4, 5), dtype=torch.uint8, generator=torch.Generator())
    rng = torch.Generator().manual_seed(seed)
    return kind(pixels, torch.arange(count), batch, (-1.0, 1.0), CPU, rng, **more)


def gather_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gather")]


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), st.sampled_from([1, 3]), st.booleans())
def test_batches_are_those_of_resident_images(count: int, batch: int, seed: int, channels: int, changed: bool) -> None:
    shape = {"count": count, "batch": min(batch, count), "seed": seed, "channels": channels}
    transform = jitter if changed else None
    resident, streamed = (make(kind, **shape, transform=transform) for kind in (ResidentImages, StreamedImages))
    for _ in range(12):
        assert same(resident.next_batch(), streamed.next_batch())
    streamed.close()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("kind", [ResidentImages, StreamedImages])
def test_training_goes_on_where_the_state_was_taken_whatever_was_gathered_ahead(kind: Any, steps: int) -> None:
    reference = make(ResidentImages, transform=jitter)
    interrupted, resumed = make(StreamedImages, transform=jitter), make(kind, transform=jitter, seed=9)
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
    resumed.close()


def test_closing_ends_the_thread_and_leaves_no_gap() -> None:
    reference, data = make(ResidentImages), make(StreamedImages)
    assert gather_threads() == []  # none before the first batch
    for _ in range(5):
        assert same(data.next_batch(), reference.next_batch())
        assert len(gather_threads()) == 1
        data.close()
        assert gather_threads() == []
    data.close()


def test_forgotten_images_end_their_thread_too() -> None:
    data = make(StreamedImages)
    data.next_batch()
    gone = weakref.ref(data)
    (thread,) = [thread for thread in threading.enumerate() if thread.name.startswith("gather")]
    del data
    gc.collect()
    thread.join(5)
    assert gone() is None
    assert not thread.is_alive()


def test_what_the_thread_raises_the_step_raises_and_raises_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(StreamedImages)
    before = data.next_batch()
    data.close()

    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(readahead.RowReader, "gather", fail)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            data.next_batch()
    monkeypatch.undo()
    data.close()
    reference = make(ResidentImages)
    assert same(before, reference.next_batch())
    assert same(data.next_batch(), reference.next_batch())  # the failed batch is not passed over
    data.close()


def test_no_more_batches_are_gathered_than_a_few() -> None:
    data = make(StreamedImages, count=600, batch=1)
    data.next_batch()
    assert len(data._pending) == AHEAD
    data.close()


def test_a_batch_is_not_overwritten_by_later_ones() -> None:
    data = make(StreamedImages)
    images, labels = data.next_batch()
    kept = images.clone(), labels.clone()
    for _ in range(3 * AHEAD):
        data.next_batch()
    assert same((images, labels), kept)
    data.close()


def test_a_transform_changes_images_and_never_their_order() -> None:
    plain, changed = make(ResidentImages), make(ResidentImages, transform=jitter)
    for _ in range(10):
        (before, labels), (after, labels_after) = plain.next_batch(), changed.next_batch()
        assert torch.equal(labels, labels_after)
        assert not torch.equal(before, after)
        assert (after - before).flatten(1).std(1).max() < 1e-6  # one shift for each image


def test_a_copy_is_resident_whatever_becomes_of_the_source() -> None:
    pixels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    rng = torch.Generator()
    copied = ResidentImages(pixels, None, 4, (0, 1), CPU, rng, copy=True)
    shared = ResidentImages(pixels, None, 4, (0, 1), CPU, rng)
    pixels.fill_(255)
    assert copied.next_batch()[0].max() == 0
    assert shared.next_batch()[0].min() == 1


def test_images_that_do_not_fit_name_streaming_as_the_cure() -> None:
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(2**20, 3, 2**15, 2**15)  # 3 PiB, of one byte
    with pytest.raises(MemoryError, match="--input stream"):
        ResidentImages(pixels, None, 4, (0, 1), CPU, torch.Generator())


def test_rows_are_announced_only_while_reading_them_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(3 * 4096, dtype=np.uint16).reshape(3, 4096)
    faults = iter([0, 0, 0, 1] + [1] * 1000)  # before and after each gather: only the second one waits
    monkeypatch.setattr(readahead, "major_faults", lambda: next(faults))
    reader, out = RowReader(array), np.empty((2, 4096), dtype=np.uint16)
    announced = []
    for _ in range(PATIENCE + 5):
        reader.gather(np.array([2, 0]), out)
        assert np.array_equal(out, array[[2, 0]])
        announced.append(reader.announced)
    assert announced == [0, 0, *range(1, PATIENCE + 1), PATIENCE, PATIENCE, PATIENCE]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("labelled", [True, False])
def test_on_a_gpu_batches_come_through_pinned_memory(labelled: bool) -> None:
    device = torch.device("cuda", 0)
    pixels = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(64) if labelled else None
    rng = torch.Generator(device).manual_seed(0)
    data = StreamedImages(pixels, labels, 16, (0.0, 255.0), device, rng, torch.channels_last)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for start in (0, 16, 32, 48):
        images, found = data.next_batch()
        assert torch.equal(images.cpu(), pixels[order[start : start + 16]].float())
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (found is not None and found.cpu().tolist() == order[start : start + 16].tolist()) if labelled else True
    data.close()
