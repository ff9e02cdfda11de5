"""Resident images: each image once per epoch, mapped to the model's range."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.data.resident import ResidentImages
from genbench.data.source import WHOLE_BATCH, BatchSettings

CPU = torch.device("cpu")


def resident(count: int, batch: int, value_range: tuple[float, float] = (0.0, 255.0), seed: int = 0) -> ResidentImages:
    pixels = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)
    labels = torch.arange(count)
    rng = torch.Generator().manual_seed(seed)
    return ResidentImages(BatchSettings(pixels, labels, batch, value_range, CPU, rng))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_an_epoch_draws_no_image_twice_and_every_label_stays_with_its_image(count: int, batch: int, seed: int) -> None:
    batch = min(batch, count)
    data = resident(count, batch, seed=seed)
    for _ in range(2):
        drawn = []
        for _ in range(count // batch):
            images, labels = data.next_batch()
            assert labels is not None
            assert images.flatten().tolist() == labels.tolist()
            drawn += labels.tolist()
        assert len(set(drawn)) == len(drawn) == count // batch * batch


def test_orders_differ_between_epochs_and_agree_between_equal_seeds() -> None:
    first, second = resident(50, 50), resident(50, 50)
    epochs = [[data.next_batch()[0].flatten().tolist() for _ in range(2)] for data in (first, second)]
    assert epochs[0] == epochs[1]
    assert epochs[0][0] != epochs[0][1]


def test_the_ends_of_the_range_are_reached_exactly() -> None:
    for low, high in ((-1.0, 1.0), (0.0, 1.0)):
        pixels = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
        data = ResidentImages(BatchSettings(pixels, None, 2, (low, high), CPU, torch.Generator()))
        images, labels = data.next_batch()
        assert labels is None
        torch.testing.assert_close(images.flatten().sort().values, torch.tensor([low, high]))


def test_batches_have_the_requested_memory_format() -> None:
    pixels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    rng = torch.Generator()
    data = ResidentImages(BatchSettings(pixels, None, 4, (0, 1), CPU, rng, torch.channels_last))
    assert data.next_batch()[0].is_contiguous(memory_format=torch.channels_last)


def test_a_process_that_trains_alone_gets_the_batch_itself() -> None:
    chosen = torch.arange(6)
    assert WHOLE_BATCH.select(chosen) is chosen  # a slice would be one more operation in each step
